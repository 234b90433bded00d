//! SavedModels by TensorFlow's library.

use super::{by, cells, columns, floats, is_there, library, load, texts};
use crate::agreement::{assert_close, numbers};
use crate::goldens::{Golden, exports, goldens};
use tensor::{Data, Directory, Error, Graph, Options, Port, Runtime, Tensor};

#[test]
fn a_saved_model_with_text_and_a_table_is_served_by_tensorflow() {
    let files = Directory::open(&library("lookup"), 1 << 20).unwrap();
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let graph = Graph::from_saved_model(&files, &Options::default()).unwrap();
    assert_eq!(graph.runtime(), Runtime::LibTensorflow);
    let names: Vec<&str> = graph.inputs().iter().map(|port| &*port.name).collect();
    assert_eq!(names, ["alcohol", "colour"]);
    assert_eq!(graph.width(), None);

    let table = cells(&library("lookup.csv"));
    let alcohol = Tensor::new(vec![6], floats(&columns(&table, 0, 1))).unwrap();
    let colour = Tensor::new(vec![6], Data::Text(texts(&table, 1))).unwrap();
    let outputs = graph.run(&[alcohol, colour], &mut graph.scratch()).unwrap();
    assert_close(&numbers(&outputs[0].data), &columns(&table, 2, 5), "scores");
    assert_eq!(outputs[1].data, Data::Text(texts(&table, 5)));
}

/// Those that TensorFlow's own sessions do not run either: two whose graphs do not restore all
/// variables, and two for more devices than one.
const UNSERVED: [&str; 4] = ["keras_save", "v1_reference", "v1_resource", "without_saver"];

#[test]
fn tensorflow_serves_signatures_that_are_run_natively() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    for (model, signature, path) in goldens() {
        if UNSERVED.contains(&&*model) {
            continue;
        }
        let what = format!("{model}, {signature}");
        let options = |runtime| Options {
            signature: Some(signature.clone()),
            ..by(runtime)
        };
        let model = exports().join(model);
        let native = load(&model, &options(Runtime::Native)).unwrap();
        let served = load(&model, &options(Runtime::LibTensorflow))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(served.inputs(), native.inputs(), "{what}");
        Golden::read(&path).check(&served, &what);
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What the choice falls on, or the error.
fn chosen(
    files: &Directory,
    options: &Options,
    runtime: Runtime,
) -> Result<[Vec<String>; 2], String> {
    let options = Options {
        runtime: Some(runtime),
        ..options.clone()
    };
    let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect();
    Graph::from_saved_model(files, &options)
        .map(|graph| [names(graph.inputs()), names(graph.outputs())])
        .map_err(|error| error.to_string())
}

#[test]
fn a_saved_models_graph_and_signature_are_chosen_as_they_are_natively() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let tagged = |tags: &[&str]| Options {
        tags: names(tags),
        ..Options::default()
    };
    let asking = |signature: &str, inputs: &[&str], outputs: &[&str]| Options {
        signature: Some(signature.to_owned()),
        inputs: names(inputs),
        outputs: names(outputs),
        ..Options::default()
    };
    let (mut loaded, mut refused) = (0, 0);
    for (model, options) in [
        ("module", Options::default()),
        ("module", asking("nobody", &[], &[])),
        ("module", asking("score", &["y"], &[])),
        ("module", asking("score", &["x", "x"], &[])),
        ("module", asking("score", &[], &["y"])),
        ("module", asking("score", &["x"], &["scores", "again"])),
        ("module", asking("scaled", &["x", "unused", "scale"], &[])),
        // An input that has to be fed.
        ("module", asking("embed", &["ids"], &[])),
        ("without_saver", Options::default()),
        ("without_saver", tagged(&["serve"])),
        ("without_saver", tagged(&["serve", "gpu"])),
        ("v1_resource", tagged(&["serve"])),
        // This one only runs when the model is loaded.
        ("module", asking("__saved_model_init_op", &[], &[])),
    ] {
        let files = Directory::open(&exports().join(model), 1 << 20).unwrap();
        let native = chosen(&files, &options, Runtime::Native);
        *if native.is_ok() {
            &mut loaded
        } else {
            &mut refused
        } += 1;
        let served = chosen(&files, &options, Runtime::LibTensorflow);
        assert_eq!(served, native, "{model}, {options:?}");
    }
    assert_eq!((loaded, refused), (4, 9));
}

/// Directories for versions, and what is no SavedModel.
#[test]
fn a_saved_model_is_found_where_it_is_natively() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let model = Directory::open(&exports().join("double"), 1 << 20).unwrap();
    let within = |roots: &[&str]| {
        let files = roots.iter().flat_map(|root| {
            let files = model.files();
            files.map(move |(path, bytes)| (format!("{root}{path}"), bytes.to_vec()))
        });
        Directory::new(files.collect())
    };
    let text = Directory::new([("saved_model.pbtxt".to_owned(), Vec::new())].into());
    let empty = Directory::new([("saved_model.pb".to_owned(), Vec::new())].into());
    let nothing = Directory::default();
    let one = within(&["models/7/"]);
    for files in [&one, &within(&["1/", "2/"]), &text, &empty, &nothing] {
        let options = Options::default();
        let native = chosen(files, &options, Runtime::Native);
        assert_eq!(native.is_ok(), std::ptr::eq(files, &one), "{native:?}");
        let served = chosen(files, &options, Runtime::LibTensorflow);
        assert_eq!(served, native, "{files:?}");
    }
}

#[test]
fn an_input_that_is_not_fed_to_tensorflow_keeps_its_default() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let table = cells(&library("default.csv"));
    let x = Tensor::new(vec![6, 2], floats(&columns(&table, 0, 2))).unwrap();
    let scale = Tensor::new(Vec::new(), floats(&[0.5])).unwrap();
    for runtime in [Runtime::Native, Runtime::LibTensorflow] {
        let run = |inputs: &[&str], tensors: &[Tensor]| {
            let options = Options {
                inputs: names(inputs),
                ..by(runtime)
            };
            let graph = load(&library("default"), &options).unwrap();
            let outputs = graph.run(tensors, &mut graph.scratch()).unwrap();
            numbers(&outputs[0].data)
        };
        let kept = run(&["x"], std::slice::from_ref(&x));
        assert_close(&kept, &columns(&table, 2, 4), "kept");
        let fed = run(&["x", "scale"], &[x.clone(), scale.clone()]);
        assert_close(&fed, &columns(&table, 4, 6), "fed");
    }
}

/// A field of a message that is a message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// The limits are there for what is decoded, and that is not the graph.
#[test]
fn a_graph_of_any_size_is_left_to_tensorflow() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let model = Directory::open(&library("default"), 1 << 20).unwrap();
    let nodes = field(1, &[]).repeat(600_000);
    let large = [field(1, &field(4, b"large")), field(2, &nodes)].concat();
    let files = model.files().map(|(path, bytes)| {
        let more = match path {
            "saved_model.pb" => field(2, &large),
            _ => Vec::new(),
        };
        (path.to_owned(), [bytes, &more].concat())
    });
    let files = Directory::new(files.collect());
    let native = Graph::from_saved_model(&files, &by(Runtime::Native)).unwrap_err();
    assert!(matches!(native, Error::TooLarge { .. }), "{native}");
    let served = Graph::from_saved_model(&files, &by(Runtime::LibTensorflow));
    assert_eq!(served.unwrap().inputs().len(), 2);
}

/// Files come from a message: none may be written elsewhere.
#[test]
fn a_saved_model_with_files_outside_of_it_is_refused() {
    if !is_there(Runtime::LibTensorflow) {
        return;
    }
    let good = Directory::open(&library("lookup"), 1 << 20).unwrap();
    let outside = std::env::temp_dir().join(format!("outside-{}", std::process::id()));
    let up = format!("../{}", outside.file_name().unwrap().to_str().unwrap());
    for name in [up.as_str(), outside.to_str().unwrap(), "variables/../../x"] {
        let files = good
            .files()
            .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
        let files = files.chain([(name.to_owned(), vec![1])]).collect();
        let error = Graph::from_saved_model(&Directory::new(files), &by(Runtime::LibTensorflow));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("outside"), "{error}");
        assert!(!outside.exists());
    }
}
