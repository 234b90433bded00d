//! Bytes that are no model, or another one than was meant, are refused, each with its reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "graphs/drawn.rs"]
mod drawn;
mod graphs;

use drawn::{bytes, halves, noise, placeholder, two};
use graphs::{DataType, GraphDef, node};
use proptest::prelude::*;
use prost::Message;
use std::fs;
use std::path::Path;
use tensor::{Error, Graph, Options, Role, Runtime};

fn export(name: &str) -> Vec<u8> {
    fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/exports")
            .join(name),
    )
    .unwrap()
}

/// What is refused here may be served by a library where one is found.
fn natively() -> Options {
    Options {
        runtime: Some(Runtime::Native),
        ..Options::default()
    }
}

fn graphdef(bytes: &[u8]) -> Result<Graph, Error> {
    Graph::from_graphdef(bytes, &natively())
}

fn onnx(bytes: &[u8]) -> Result<Graph, Error> {
    Graph::from_onnx(bytes, &natively())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn nothing_is_no_graph() {
    for refused in [graphdef(&[]), onnx(&[]), onnx(&[8, 7])] {
        assert!(matches!(refused, Err(Error::Empty)), "{refused:?}");
    }
    // Versions alone are a graph without nodes.
    assert!(matches!(graphdef(&[34, 2, 8, 1]), Err(Error::Empty)));
}

#[test]
fn fifteen_megabytes_of_noise_are_refused() {
    for seed in 1..4 {
        let noise = noise(seed, 15 << 20);
        assert!(
            matches!(
                graphdef(&noise),
                Err(Error::Malformed { .. } | Error::Empty)
            ),
            "{seed}"
        );
        assert!(
            matches!(onnx(&noise), Err(Error::Malformed { .. } | Error::Empty)),
            "{seed}"
        );
    }
}

#[test]
fn the_other_format_is_refused() {
    assert!(graphdef(&export("sklearn_mlp.onnx")).is_err());
    assert!(onnx(&export("tf1_dropout.pb")).is_err());
}

/// Where a file is cut right before one of its last nodes, the rest is a whole graph, which nothing
/// gives away but the name of its output; everywhere else the cut shows.
#[test]
fn a_cut_file_is_refused() {
    for name in ["keras_relu.pb", "tf1_dropout.pb", "tf1_optimized.pb"] {
        let whole = export(name);
        let output = graphdef(&whole).unwrap().outputs().to_vec();
        let mut shorter = 0;
        for length in 0..whole.len() {
            if let Ok(graph) = graphdef(&whole[..length]) {
                assert!(
                    GraphDef::decode(&whole[..length]).is_ok(),
                    "{name} cut at {length}"
                );
                shorter += usize::from(graph.outputs() != output);
            }
        }
        assert!(
            shorter <= 8,
            "{name} was taken for {shorter} shorter graphs"
        );

        let outputs = vec![output[0].name.clone()];
        let options = Options {
            outputs,
            ..natively()
        };
        for length in 0..whole.len() {
            if let Ok(graph) = Graph::from_graphdef(&whole[..length], &options) {
                // Only what comes after the graph is missing.
                assert_eq!(graph.outputs(), output, "{name} cut at {length}");
            }
        }
    }
    for name in [
        "tf2onnx_softmax.onnx",
        "sklearn_mlp.onnx",
        "torch_like.onnx",
    ] {
        let whole = export(name);
        let output = onnx(&whole).unwrap().outputs().to_vec();
        for length in 0..whole.len() {
            if let Ok(graph) = onnx(&whole[..length]) {
                assert_eq!(graph.outputs(), output, "{name} cut at {length}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_does_no_harm() {
    let places = noise(0x5eed, 3 * 250);
    for (name, load) in [
        (
            "keras_gelu.pb",
            graphdef as fn(&[u8]) -> Result<Graph, Error>,
        ),
        ("columns.pb", graphdef),
        ("sklearn_min_max_mlp.onnx", onnx),
        ("sklearn_boosting.onnx", onnx),
    ] {
        let whole = export(name);
        for place in places.chunks_exact(3) {
            let bit =
                usize::from(place[0]) << 16 | usize::from(place[1]) << 8 | usize::from(place[2]);
            let mut flipped = whole.clone();
            flipped[bit / 8 % whole.len()] ^= 1 << (bit % 8);
            if let Ok(graph) = load(&flipped)
                && let Some(width) = graph.width().filter(|width| *width < 1000)
            {
                let row = vec![0.5; 2 * width];
                let _ = graph.run_rows(&row, 2, &mut graph.scratch(), &mut Vec::new());
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(graphdef(&bytes).is_err());
        prop_assert!(onnx(&bytes).is_err());
    }

    /// Nodes of any known operator, wired at random, load and run or are refused.
    #[test]
    fn any_wiring_is_a_graph_or_an_error(
        wiring in prop::collection::vec((0..OPERATORS.len(), 0..6usize, 0..6usize), 1..8),
    ) {
        let mut nodes = vec![placeholder("n0", &[-1, 3]), halves("n1", &[3]), halves("n2", &[])];
        for (position, (operator, left, right)) in wiring.iter().enumerate() {
            let name = |node: usize| format!("n{}", node % (position + 3));
            let new = format!("n{}", position + 3);
            nodes.push(two(&new, OPERATORS[*operator], &name(*left), &name(*right)));
        }
        if let Ok(graph) = graphdef(&bytes(nodes))
            && graph.width().is_some()
        {
            let _ = graph.run_rows(&[0.5; 6], 2, &mut graph.scratch(), &mut Vec::new());
        }
    }
}

const OPERATORS: [&str; 14] = [
    "Add",
    "ArgMax",
    "BatchMatMul",
    "ConcatV2",
    "Equal",
    "ExpandDims",
    "MatMul",
    "Maximum",
    "Mul",
    "Pack",
    "Pow",
    "Reshape",
    "Softmax",
    "Transpose",
];

#[test]
fn unsupported_operators_are_named() {
    let file = bytes(vec![
        placeholder("x", &[-1, 3]),
        two("a", "LookupTableFindV2", "x", "x"),
        two("b", "DecodeCSV", "a", "x"),
        two("c", "LookupTableFindV2", "b", "x"),
    ]);
    let error = graphdef(&file).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsupported operators: DecodeCSV, LookupTableFindV2"
    );
}

#[test]
fn unsupported_forms_of_operators_are_named() {
    let sum = two("y", "BiasAdd", "x", "x").attr("data_format", "NCHW");
    let error = graphdef(&bytes(vec![placeholder("x", &[-1, 3]), sum])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsupported operators: BiasAdd with channels first"
    );
}

#[test]
fn a_choice_of_outputs_is_not_made() {
    let file = bytes(vec![
        placeholder("x", &[-1, 3]),
        halves("half", &[3]),
        two("first", "Add", "x", "half"),
        two("second", "Mul", "x", "half"),
        node().name("check").op("Assert").input("x"),
    ]);
    match graphdef(&file).unwrap_err() {
        Error::Ambiguous {
            role: Role::Output,
            candidates,
        } => {
            assert_eq!(candidates, ["first", "second"]);
        }
        other => panic!("{other}"),
    }
    let outputs = names(&["second"]);
    let graph = Graph::from_graphdef(
        &file,
        &Options {
            outputs,
            ..natively()
        },
    )
    .unwrap();
    let mut scores = Vec::new();
    graph
        .run_rows(&[2.0, 4.0, 6.0], 1, &mut graph.scratch(), &mut scores)
        .unwrap();
    assert_eq!(scores, [1.0, 2.0, 3.0]);
}

#[test]
fn names_that_are_not_there_are_refused_with_those_that_are() {
    for (file, load) in [
        (
            export("tf1_dropout.pb"),
            Graph::from_graphdef as fn(&[u8], &Options) -> _,
        ),
        (export("torch_like.onnx"), Graph::from_onnx),
    ] {
        let inputs = Options {
            inputs: names(&["nobody"]),
            ..natively()
        };
        let error: Error = load(&file, &inputs).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no input `nobody`, there are: "),
            "{error}"
        );
        let outputs = Options {
            outputs: names(&["nobody"]),
            ..natively()
        };
        let error: Error = load(&file, &outputs).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no output `nobody`, there are: "),
            "{error}"
        );
    }
}

#[test]
fn an_input_that_is_needed_cannot_be_left_out() {
    let file = bytes(vec![
        placeholder("x", &[-1, 3]),
        placeholder("y", &[-1, 3]),
        two("sum", "Add", "x", "y"),
    ]);
    let options = Options {
        inputs: names(&["y"]),
        ..natively()
    };
    match Graph::from_graphdef(&file, &options).unwrap_err() {
        Error::Unbound { names } => assert_eq!(names, ["x"]),
        other => panic!("{other}"),
    }
}

#[test]
fn contradictions_are_malformed() {
    let x = || placeholder("x", &[-1, 3]);
    for (what, nodes) in [
        ("a missing source", vec![x(), two("y", "Add", "x", "z")]),
        ("a name twice", vec![x(), x()]),
        (
            "a circle",
            vec![
                x(),
                two("y", "Add", "x", "z"),
                two("z", "Add", "x", "y"),
                two("r", "Add", "z", "x"),
            ],
        ),
        (
            "a circle of aliases",
            vec![
                x(),
                two("y", "Identity", "z", "x"),
                two("z", "Identity", "y", "x"),
                two("r", "Add", "z", "x"),
            ],
        ),
        ("no name", vec![x(), two("", "Add", "x", "x")]),
        (
            "an output that is not there",
            vec![x(), two("y", "Add", "x", "x"), two("z", "Add", "y:1", "x")],
        ),
    ] {
        let refused = graphdef(&bytes(nodes));
        assert!(
            matches!(refused, Err(Error::Malformed { .. })),
            "{what}: {refused:?}"
        );
    }
}

#[test]
fn a_few_bytes_do_not_become_gigabytes() {
    let x = || placeholder("x", &[-1, 1]);
    let tall = || halves("tall", &[1 << 20, 1]);
    let wide = || halves("wide", &[1, 1 << 20]);
    for (what, nodes) in [
        (
            "a constant",
            vec![
                x(),
                halves("c", &[1 << 40, 1 << 10]),
                two("y", "Add", "x", "c"),
            ],
        ),
        (
            "a negative length",
            vec![x(), halves("c", &[-7]), two("y", "Add", "x", "c")],
        ),
        (
            "a sum of constants",
            vec![
                x(),
                tall(),
                wide(),
                two("s", "Add", "tall", "wide"),
                two("y", "Add", "s", "x"),
            ],
        ),
        (
            "a product of constants",
            vec![
                x(),
                tall(),
                wide(),
                two("s", "MatMul", "tall", "wide"),
                two("y", "Add", "s", "x"),
            ],
        ),
        (
            "a sum for each row",
            vec![
                placeholder("x", &[-1, 1, 1]),
                halves("c", &[1 << 14, 1]),
                halves("d", &[1 << 14]),
                two("s", "Add", "x", "c"),
                two("y", "Add", "s", "d"),
            ],
        ),
    ] {
        let refused = graphdef(&bytes(nodes));
        assert!(refused.is_err(), "{what}");
    }
}

#[test]
fn too_many_nodes_are_refused() {
    let mut nodes = vec![placeholder("n0", &[-1, 1])];
    let link = |number: usize| {
        two(
            &format!("n{}", number + 1),
            "Add",
            &format!("n{number}"),
            "n0",
        )
    };
    nodes.extend((0..30_000).map(link));
    assert!(matches!(
        graphdef(&bytes(nodes)),
        Err(Error::TooLarge { what: "nodes", .. })
    ));
}

/// Few nodes, but an addition for each of a node's inputs.
#[test]
fn too_many_inputs_of_nodes_are_refused() {
    let mut sum = node().name("sum").op("AddN").attr("T", DataType::Float);
    for _ in 0..30_000 {
        sum = sum.input("x");
    }
    let nodes = vec![placeholder("x", &[-1, 1]), sum];
    let error = graphdef(&bytes(nodes)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "too large: 30000 inputs of nodes, at most 12000 are accepted"
    );
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let graph = graphdef(&export("keras_relu.pb")).unwrap();
    let (mut scratch, mut scores) = (graph.scratch(), vec![1.0]);
    for (length, count) in [(10, 1), (11, 2), (0, 1), (11, usize::MAX)] {
        let error = graph.run_rows(&vec![0.5; length], count, &mut scratch, &mut scores);
        assert!(
            matches!(error, Err(Error::WrongRows { width: 11, .. })),
            "{error:?}"
        );
    }
    assert_eq!(
        graph.run_rows(&[], 0, &mut scratch, &mut scores).unwrap(),
        5
    );
    assert!(scores.is_empty());
}
