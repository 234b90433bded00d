//! Operators of TensorFlow, one by one: what it makes of the graphs in `operators/` is what this
//! crate makes of them, and what it fails on is an error. `operators/make.py` says how they were
//! made.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "graphs/drawn.rs"]
mod drawn;
mod graphs;
#[path = "agreement/numbers.rs"]
mod numbers;

use drawn::{bytes, halves, noise, placeholder, shape, two};
use graphs::{DataType, NodeDef, TensorProto, node};
use numbers::numbers;
use std::fs;
use std::path::{Path, PathBuf};
use tensor::{Data, Element, Error, Graph, Options, Tensor};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operators")
}

/// Options that ask for one output.
fn asking(name: &str) -> Options {
    Options {
        outputs: vec![name.to_owned()],
        ..Options::default()
    }
}

/// A line of a table of `operators/`: whether it is fed, the node's name, and the value.
fn value(line: &str) -> (bool, String, Tensor) {
    let cells: Vec<&str> = line.split(' ').collect();
    let [way, name, element, shape, values @ ..] = cells.as_slice() else {
        panic!("{line}")
    };
    let shape = match *shape {
        "-" => Vec::new(),
        lengths => lengths.split(',').map(|n| n.parse().unwrap()).collect(),
    };
    let values = values.iter().filter(|value| !value.is_empty());
    let real = |value: &&str| value.parse::<f64>().unwrap();
    let data = match *element {
        "float32" => Data::Float(values.map(|value| real(value) as f32).collect()),
        "float64" => Data::Double(values.map(real).collect()),
        "int32" => Data::Int32(values.map(|value| value.parse().unwrap()).collect()),
        "int64" => Data::Int64(values.map(|value| value.parse().unwrap()).collect()),
        "bool" => Data::Bool(values.map(|value| real(value) != 0.0).collect()),
        other => panic!("{other}"),
    };
    let tensor = Tensor::new(shape, data).unwrap();
    (*way == "in", (*name).to_owned(), tensor)
}

/// What is wrong with an output of a graph, if anything.
fn difference(
    graph: &[u8],
    inputs: &[(String, Tensor)],
    name: &str,
    expected: &Tensor,
) -> Option<String> {
    let graph = match Graph::from_graphdef(graph, &asking(name)) {
        Ok(graph) => graph,
        Err(error) => return Some(error.to_string()),
    };
    let fed = graph.inputs().iter().map(|port| {
        let (_, tensor) = inputs.iter().find(|(name, _)| *name == port.name).unwrap();
        tensor.clone()
    });
    let found = match graph.run(&fed.collect::<Vec<_>>(), &mut graph.scratch()) {
        Ok(found) => found.into_iter().next().unwrap(),
        Err(error) => return Some(error.to_string()),
    };
    if found.shape != expected.shape {
        return Some(format!("{:?} instead of {:?}", found.shape, expected.shape));
    }
    // Lengths are counted in 64 bits.
    let (element, wanted) = (found.data.element(), expected.data.element());
    if element != wanted && (element, wanted) != (Element::Int64, Element::Int32) {
        return Some(format!("{element} instead of {wanted}"));
    }
    numbers::difference(&numbers(&found.data), &numbers(&expected.data))
}

/// NaN and infinities are the same, too; `operators/make.py` says how they were made.
#[test]
fn every_operator_computes_what_tensorflow_computes() {
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let graph = fs::read(path.with_extension("pb")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let (fed, asked): (Vec<_>, Vec<_>) = text.lines().map(value).partition(|(fed, ..)| *fed);
        let inputs: Vec<(String, Tensor)> = fed
            .into_iter()
            .map(|(_, name, tensor)| (name, tensor))
            .collect();
        for (_, name, expected) in asked {
            count += 1;
            if let Some(difference) = difference(&graph, &inputs, &name, &expected) {
                let file = path.file_stem().unwrap().display();
                wrong.push(format!("{file} {name}: {difference}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 400, "{count}");
}

/// A constant of integers.
fn integers(name: &str, lengths: &[i64], values: &[i64]) -> NodeDef {
    let value = TensorProto {
        dtype: DataType::Int64 as i32,
        tensor_shape: Some(shape(lengths)),
        int64_val: values.to_vec(),
        ..TensorProto::default()
    };
    let node = node().name(name).op("Const");
    node.attr("dtype", DataType::Int64).attr("value", value)
}

fn windowed(op: &str, attribute: &str, lengths: &[i64]) -> NodeDef {
    let ones: &[i64] = &[1, 1, 1, 1];
    let node = two("y", op, "x", "w").attr("padding", "VALID");
    ["strides", "ksize"]
        .iter()
        .fold(node, |node, name| node.attr(name, ones))
        .attr(attribute, lengths)
}

#[test]
fn hostile_attributes_of_operators_are_refused() {
    let load = |window: &[i64], numbers: NodeDef, last: NodeDef| {
        let x = placeholder("x", &[-1, 4, 4, 4]);
        let nodes = vec![x, halves("w", window), numbers, last];
        Graph::from_graphdef(&bytes(nodes), &asking("y"))
    };
    let pair = || integers("n", &[2], &[1, 2]);
    let convolution = || windowed("Conv2D", "strides", &[1, 1, 1, 1]);
    load(&[1, 1, 4, 4], pair(), convolution()).unwrap();
    for lengths in [
        &[1, 0, 1, 1][..],
        &[1, -1, 1, 1],
        &[1, 1 << 40, 1, 1],
        &[2, 1, 1, 1],
        &[1, 1, 1],
    ] {
        for (op, attribute) in [
            ("Conv2D", "strides"),
            ("Conv2D", "dilations"),
            ("DepthwiseConv2dNative", "strides"),
            ("MaxPool", "ksize"),
            ("AvgPool", "strides"),
        ] {
            let refused = load(&[1, 1, 4, 4], pair(), windowed(op, attribute, lengths));
            let unsupported = matches!(refused, Err(Error::Unsupported { .. }));
            assert!(unsupported, "{op} {attribute} {lengths:?}: {refused:?}");
        }
    }
    for margins in [
        &[0, 0, -1, 0, 0, 0, 0, 0][..],
        &[0, 0, 1 << 40, 0, 0, 0, 0, 0],
        &[1],
    ] {
        let last = convolution().attr("padding", "EXPLICIT");
        let last = last.attr("explicit_paddings", margins);
        assert!(load(&[1, 1, 4, 4], pair(), last).is_err(), "{margins:?}");
    }
    for window in [
        &[0, 1, 4, 4][..],
        &[1, 1, 0, 4],
        &[1, 1, 3, 4],
        &[9, 9, 4, 4],
        &[4, 4],
        &[],
    ] {
        assert!(load(window, pair(), convolution()).is_err(), "{window:?}");
    }
    let many = 1 << 40;
    for (op, numbers, from) in [
        ("Tile", &[1, 1, 1 << 20, 1 << 20][..], "x"),
        ("Tile", &[1, 1, -1, 1], "x"),
        ("BroadcastTo", &[1 << 30, 4, 4, 4], "x"),
        ("ResizeBilinear", &[1 << 20, 1 << 20], "x"),
        ("ResizeNearestNeighbor", &[0, 1], "x"),
        ("Reshape", &[3, 3], "x"),
        ("Transpose", &[0, 1, 1, 3], "x"),
        ("Transpose", &[0, 1, 2, 9], "x"),
        ("Sum", &[7], "x"),
        ("Max", &[1, 1], "x"),
        ("GatherNd", &[0, 0, 0, 0, 0], "x"),
        ("GatherV2", &[4], "w"),
    ] {
        let count = numbers.len() as i64;
        let mut last = two("y", op, from, "n").input("a");
        let mut nodes = vec![
            placeholder("x", &[-1, 4, 4, 4]),
            integers("n", &[count], numbers),
        ];
        nodes.extend([halves("w", &[4, 4]), integers("a", &[], &[0])]);
        if from == "w" {
            nodes.push(last.name("z"));
            last = two("y", "Add", "x", "z");
        }
        nodes.push(last);
        assert!(
            Graph::from_graphdef(&bytes(nodes), &asking("y")).is_err(),
            "{op} {numbers:?}"
        );
    }
    for (op, attribute, value) in [
        ("Unpack", "num", many),
        ("Unpack", "num", -1),
        ("Split", "num_split", 0),
        ("SpaceToDepth", "block_size", 0),
        ("DepthToSpace", "block_size", many),
        ("StridedSlice", "ellipsis_mask", 3),
    ] {
        let last = two("y", op, "x", "n")
            .input("n")
            .input("n")
            .attr(attribute, value);
        let nodes = vec![
            placeholder("x", &[-1, 4, 4, 4]),
            integers("n", &[], &[0]),
            last,
        ];
        let refused = Graph::from_graphdef(&bytes(nodes), &asking("y"));
        let unsupported = matches!(refused, Err(Error::Unsupported { .. }));
        assert!(unsupported, "{op} {attribute} {value}: {refused:?}");
    }
    for (op, numbers) in [
        ("Range", [0, many, 1]),
        ("Range", [0, 3, 0]),
        ("Range", [3, 0, 1]),
    ] {
        let inputs = ["a", "b", "c"].into_iter().zip(numbers);
        let mut nodes = vec![placeholder("x", &[-1])];
        nodes.extend(inputs.map(|(name, number)| integers(name, &[], &[number])));
        let range = node().name("r").op(op).attr("Tidx", DataType::Int64);
        nodes.push(range.input("a").input("b").input("c"));
        nodes.push(two("y", "Mul", "x", "r"));
        assert!(
            Graph::from_graphdef(&bytes(nodes), &asking("y")).is_err(),
            "{op} {numbers:?}"
        );
    }
}

/// As on TensorFlow's processors, where others make up a result.
#[test]
fn what_tensorflow_fails_on_is_an_error() {
    let run = |last: NodeDef, row: &[f64]| {
        let nodes = vec![
            placeholder("x", &[-1, 2]).attr("dtype", DataType::Int64),
            integers("n", &[2], &[5, 6]),
            integers("zero", &[], &[0]),
            last.attr("T", DataType::Int64),
        ];
        let graph = Graph::from_graphdef(&bytes(nodes), &asking("y")).unwrap();
        let mut scores = Vec::new();
        let run = graph.run_rows(row, 1, &mut graph.scratch(), &mut scores);
        run.map(|_| scores)
    };
    let lookup = || two("y", "GatherV2", "n", "x").input("zero");
    assert_eq!(run(lookup(), &[1.0, 0.0]).unwrap(), [6.0, 5.0]);
    let division = || two("y", "FloorDiv", "n", "x");
    assert_eq!(run(division(), &[-2.0, 6.0]).unwrap(), [-3.0, 1.0]);
    for refused in [
        run(lookup(), &[2.0, 0.0]),
        run(lookup(), &[0.0, -1.0]),
        run(division(), &[1.0, 0.0]),
        run(two("y", "FloorMod", "n", "x"), &[0.0, 1.0]),
        run(two("y", "Pow", "n", "x"), &[1.0, -1.0]),
    ] {
        assert!(matches!(refused, Err(Error::Run { .. })), "{refused:?}");
    }
}

/// Of any operator: bits of its node, its attributes and its constants.
#[test]
fn a_flipped_bit_in_an_operator_does_no_harm() {
    let places = noise(0xb175, 3 * 60);
    for file in [
        "convolutions",
        "images",
        "indexing",
        "pairs_whole",
        "reductions",
        "shapes",
        "slices",
    ] {
        let whole = fs::read(folder().join(file).with_extension("pb")).unwrap();
        let text = fs::read_to_string(folder().join(file).with_extension("txt")).unwrap();
        let asked = text.lines().filter_map(|line| line.strip_prefix("out "));
        let asked: Vec<&str> = asked.filter_map(|line| line.split(' ').next()).collect();
        for (place, name) in places.chunks_exact(3).zip(asked.iter().cycle()) {
            let place =
                usize::from(place[0]) << 16 | usize::from(place[1]) << 8 | usize::from(place[2]);
            // Nodes of an operator are written one after the other, close to its name.
            let at = whole
                .windows(name.len())
                .position(|part| part == name.as_bytes())
                .unwrap();
            let byte = (at + place / 8 % 400)
                .saturating_sub(340)
                .min(whole.len() - 1);
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << (place % 8);
            let Ok(graph) = Graph::from_graphdef(&flipped, &asking(name)) else {
                continue;
            };
            let fed = graph.inputs().iter().map(|port| {
                let shape: Vec<usize> = port.shape.iter().map(|axis| axis.unwrap_or(2)).collect();
                let volume = shape.iter().product::<usize>();
                let data = match port.element {
                    Element::Double => Data::Double(vec![0.5; volume]),
                    Element::Int32 => Data::Int32(vec![1; volume]),
                    Element::Int64 => Data::Int64(vec![1; volume]),
                    Element::Bool => Data::Bool(vec![true; volume]),
                    _ => Data::Float(vec![0.5; volume]),
                };
                (volume < 1 << 20).then_some(Tensor { shape, data })
            });
            if let Some(fed) = fed.collect::<Option<Vec<Tensor>>>() {
                let _ = graph.run(&fed, &mut graph.scratch());
            }
        }
    }
}
