//! What TensorFlow makes of the SavedModels in `exports/savedmodel` is what this crate makes of
//! them; `make.py` beside them says how they were made. What it does not make anything of is
//! refused, and says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agreement;
mod goldens;

use goldens::{Golden, exports, goldens};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tensor::{Directory, Error, Graph, Options, Tensor};

const LIMIT: u64 = 1 << 24;

fn directory(name: &str) -> Directory {
    Directory::open(&exports().join(name), LIMIT).unwrap()
}

fn signature(name: &str) -> Options {
    Options {
        signature: Some(name.to_owned()),
        ..Options::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_signature_computes_what_tensorflow_computes() {
    let goldens = goldens();
    assert_eq!(goldens.len(), 18);
    for (model, name, path) in goldens {
        let golden = Golden::read(&path);
        let what = format!("{model}, {name}");
        let graph = Graph::from_saved_model(&directory(&model), &signature(&name))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let ports = |ports: &[tensor::Port]| -> Vec<String> {
            ports.iter().map(|port| port.name.clone()).collect()
        };
        let keys = |tensors: &BTreeMap<String, Tensor>| -> Vec<String> {
            tensors.keys().cloned().collect()
        };
        assert_eq!(ports(graph.inputs()), keys(&golden.inputs), "{what}");
        assert_eq!(ports(graph.outputs()), keys(&golden.outputs), "{what}");
        golden.check(&graph, &what);
    }
}

fn refused(files: &Directory, options: &Options) -> String {
    match Graph::from_saved_model(files, options) {
        Ok(graph) => panic!("{graph:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn options_choose_among_a_signatures_inputs_and_outputs() {
    let golden = Golden::read(&exports().join("v1_reference.with_keep.txt"));
    let files = directory("v1_reference");
    let graph = Graph::from_saved_model(&files, &signature("with_keep")).unwrap();
    assert_eq!(graph.width(), None, "two inputs");

    // The other one has a default.
    let mut options = signature("with_keep");
    options.inputs = names(&["x"]);
    let graph = Graph::from_saved_model(&files, &options).unwrap();
    assert_eq!((graph.width(), graph.output_width()), (Some(11), Some(3)));

    options.inputs = names(&["x", "keep"]);
    let graph = Graph::from_saved_model(&files, &options).unwrap();
    let ports: Vec<&str> = graph
        .inputs()
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    assert_eq!(ports, ["x", "keep"]);
    golden.check(&graph, "in another order");

    let golden = Golden::read(&exports().join("module.score.txt"));
    let mut options = signature("score");
    options.outputs = names(&["scores", "again"]);
    let graph = Graph::from_saved_model(&directory("module"), &options).unwrap();
    let ports: Vec<&str> = graph
        .outputs()
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    assert_eq!(ports, ["scores", "again"]);
    golden.check(&graph, "two of three outputs");
}

#[test]
fn names_that_are_not_there_are_refused_with_those_that_are() {
    let module = directory("module");
    let expected = "no signature `serving_default`, there are: embed, others, scaled, score";
    assert_eq!(refused(&module, &Options::default()), expected);
    let expected = "no signature `nobody`, there are: embed, others, scaled, score";
    assert_eq!(refused(&module, &signature("nobody")), expected);

    let options = Options {
        tags: names(&["serve", "gpu"]),
        ..Options::default()
    };
    let expected = "no graph with the tags `gpu,serve`, there are: `cpu,serve`";
    assert_eq!(refused(&directory("v1_resource"), &options), expected);
    let options = Options {
        tags: names(&["serve", "cpu"]),
        ..Options::default()
    };
    assert!(Graph::from_saved_model(&directory("v1_resource"), &options).is_ok());

    let mut options = signature("score");
    options.inputs = names(&["y"]);
    assert_eq!(refused(&module, &options), "no input `y`, there are: x");
    let mut options = signature("score");
    options.outputs = names(&["y"]);
    let expected = "no output `y`, there are: again, logits, scores";
    assert_eq!(refused(&module, &options), expected);
    let mut options = signature("embed");
    options.inputs = names(&["ids"]);
    let expected = "the outputs depend on inputs that are not among the named ones: weight";
    assert_eq!(refused(&module, &options), expected);
}

#[test]
fn what_cannot_be_evaluated_is_refused_by_its_operators() {
    for (name, expected) in [
        ("refused_counter", "AssignAddVariableOp"),
        (
            "refused_loop",
            "Enter, Exit, LoopCond, Merge, NextIteration, Switch",
        ),
        (
            "refused_partitioned",
            "VariableV2 `w/part_0` of a partitioned variable, \
             VariableV2 `w/part_1` of a partitioned variable",
        ),
        (
            "refused_table",
            "HashTableV2, LookupTableFindV2, Placeholder of type string",
        ),
        ("refused_while", "StatelessWhile"),
        (
            "v1_examples",
            "Const of type string, ParseExampleV2, Placeholder of type string",
        ),
    ] {
        let error = refused(&directory(name), &Options::default());
        assert_eq!(
            error,
            format!("unsupported operators: {expected}"),
            "{name}"
        );
    }
}

/// The files of a model, of which a test changes some.
fn files(name: &str) -> BTreeMap<String, Vec<u8>> {
    let directory = directory(name);
    let owned = |(path, bytes): (&str, &[u8])| (path.to_owned(), bytes.to_vec());
    directory.files().map(owned).collect()
}

#[test]
fn directories_without_a_model_are_refused() {
    let module = signature("score");
    let text = "not a TensorFlow SavedModel: it is text (`saved_model.pbtxt`), which is not read";
    for (paths, expected) in [
        (
            &[][..],
            "not a TensorFlow SavedModel: there is no file `saved_model.pb`",
        ),
        (&["saved_model.pbtxt"], text),
        (
            &["1/saved_model.pb", "2/saved_model.pb"],
            "not a TensorFlow SavedModel: there are several in it, one of these is meant: 1/, 2/",
        ),
        (&["saved_model.pb"], "the file holds no graph"),
    ] {
        let files = paths.iter().map(|path| ((*path).to_owned(), Vec::new()));
        assert_eq!(refused(&Directory::new(files.collect()), &module), expected);
    }

    let model = files("module");
    let moved = model
        .iter()
        .map(|(path, bytes)| (format!("models/7/{path}"), bytes.clone()));
    assert!(Graph::from_saved_model(&Directory::new(moved.collect()), &module).is_ok());
    for (path, expected) in [
        (
            "variables.index",
            "there is no file `variables/variables.index`",
        ),
        (
            "variables.data-00000-of-00001",
            "there is no file `variables/variables.data-00000-of-00001`",
        ),
    ] {
        let mut model = model.clone();
        model.remove(&format!("variables/{path}")).unwrap();
        let expected = format!("not a TensorFlow SavedModel: {expected}");
        assert_eq!(refused(&Directory::new(model), &module), expected);
    }
}

/// Every bit of the variables' files is covered by a checksum, or is not looked at.
#[test]
fn variables_that_are_broken_are_refused_or_the_same() {
    for (name, chosen) in [
        ("several_blocks", "embed"),
        ("v1_resource", "serving_default"),
    ] {
        let model = files(name);
        let golden = Golden::read(&exports().join(format!("{name}.{chosen}.txt")));
        let check = |model: &BTreeMap<String, Vec<u8>>, what: &str| {
            match Graph::from_saved_model(&Directory::new(model.clone()), &signature(chosen)) {
                Ok(graph) => golden.check(&graph, what),
                Err(Error::Malformed { .. }) => return true,
                Err(error) => panic!("{what}: {error}"),
            }
            false
        };
        for (path, bytes) in model
            .iter()
            .filter(|(path, _)| path.starts_with("variables/"))
        {
            let mut refused = 0;
            let places = (0..bytes.len()).step_by(bytes.len() / 40 + 1);
            for place in places {
                let mut model = model.clone();
                model.get_mut(path).unwrap()[place] ^= 1 << (place % 8);
                refused += usize::from(check(&model, &format!("{path}, {place} flipped")));
                model.get_mut(path).unwrap().truncate(place);
                refused += usize::from(check(&model, &format!("{path}, {place} long")));
            }
            assert!(refused > 10, "{path}: {refused} were refused");
        }
    }
}

/// Nothing protects the graph's file: a bit may be another name or shape. It does no harm.
#[test]
fn a_graph_that_is_broken_does_no_harm() {
    for (name, chosen) in [("module", "scaled"), ("v1_reference", "from_hidden")] {
        let model = files(name);
        let whole = &model["saved_model.pb"];
        for place in (0..whole.len()).step_by(whole.len() / 80 + 1) {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            for bytes in [flipped, whole[..place].to_vec()] {
                let mut model = model.clone();
                model.insert("saved_model.pb".to_owned(), bytes);
                let _ = Graph::from_saved_model(&Directory::new(model), &signature(chosen));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = |path: &str| (path.to_owned(), bytes.clone());
        let alone = Directory::new([file("saved_model.pb")].into());
        prop_assert!(Graph::from_saved_model(&alone, &Options::default()).is_err());
        let mut model = files("v1_resource");
        model.extend([file("variables/variables.index")]);
        let refused = Graph::from_saved_model(&Directory::new(model), &Options::default());
        prop_assert!(refused.is_err());
    }
}
