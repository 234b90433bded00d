//! Graphs of other forms than one vector in, one vector out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod graphs;

use graphs::{DataType, Dim, GraphDef, NodeDef, TensorProto, TensorShapeProto, graph, node};
use prost::Message;
use tensor::{Data, Element, Error, Graph, Options, Runtime, Tensor};

fn placeholder(name: &str, element: DataType, lengths: Option<&[i64]>) -> NodeDef {
    let dim = |length: &i64| Dim { size: *length };
    let shape = TensorShapeProto {
        dim: lengths.unwrap_or_default().iter().map(dim).collect(),
        unknown_rank: lengths.is_none(),
    };
    node()
        .name(name)
        .op("Placeholder")
        .attr("dtype", element)
        .attr("shape", shape)
}

fn two(name: &str, op: &str, left: &str, right: &str) -> NodeDef {
    node()
        .name(name)
        .op(op)
        .input(left)
        .input(right)
        .attr("T", DataType::Float)
}

fn load(nodes: Vec<NodeDef>, options: &Options) -> Result<Graph, Error> {
    let file = nodes
        .into_iter()
        .fold(graph(), GraphDef::node)
        .encode_to_vec();
    // What is refused may be served by a library where one is found.
    let options = Options {
        runtime: Some(Runtime::Native),
        ..options.clone()
    };
    Graph::from_graphdef(&file, &options)
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape.to_vec(), Data::Float(values.to_vec())).unwrap()
}

/// The runtime would look for an order of the sums for ever.
#[test]
fn a_product_that_sums_over_the_batch_is_loaded_for_one_row() {
    let product = two("product", "Einsum", "x", "x").attr("equation", "ab,ac->bc");
    let nodes = vec![placeholder("x", DataType::Float, Some(&[-1, 2])), product];
    let graph = load(nodes, &Options::default()).unwrap();
    assert_eq!(graph.inputs()[0].shape, [Some(1), Some(2)]);
    let found = graph.run(&[floats(&[1, 2], &[2.0, 3.0])], &mut graph.scratch());
    assert_eq!(found.unwrap(), [floats(&[2, 2], &[4.0, 6.0, 6.0, 9.0])]);
}

#[test]
fn named_columns_are_fed_in_the_order_asked_for() {
    let nodes = || {
        vec![
            placeholder("alcohol", DataType::Float, Some(&[-1])),
            placeholder("pH", DataType::Float, Some(&[-1])),
            two("difference", "Sub", "alcohol", "pH"),
        ]
    };
    let graph = load(nodes(), &Options::default()).unwrap();
    let names: Vec<&str> = graph
        .inputs()
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    assert_eq!(names, ["alcohol", "pH"]);
    assert_eq!(
        (graph.inputs()[0].shape.as_slice(), graph.width()),
        (&[None][..], None)
    );
    let (alcohol, acidity) = (
        floats(&[3], &[9.0, 10.0, 11.0]),
        floats(&[3], &[3.0, 3.5, 4.0]),
    );
    let outputs = graph
        .run(&[alcohol.clone(), acidity.clone()], &mut graph.scratch())
        .unwrap();
    assert_eq!(outputs, [floats(&[3], &[6.0, 6.5, 7.0])]);

    let inputs = vec!["pH".to_owned(), "alcohol".to_owned()];
    let turned = load(
        nodes(),
        &Options {
            inputs,
            ..Options::default()
        },
    )
    .unwrap();
    let outputs = turned
        .run(&[acidity, alcohol], &mut turned.scratch())
        .unwrap();
    assert_eq!(outputs, [floats(&[3], &[6.0, 6.5, 7.0])]);
}

#[test]
fn columns_of_width_one_are_joined() {
    let axis = {
        let axis = TensorProto {
            dtype: DataType::Int32 as i32,
            tensor_shape: Some(TensorShapeProto::default()),
            int_val: vec![-1],
            ..TensorProto::default()
        };
        node()
            .name("axis")
            .op("Const")
            .attr("dtype", DataType::Int32)
            .attr("value", axis)
    };
    let joined = node()
        .name("joined")
        .op("ConcatV2")
        .input("a")
        .input("b")
        .input("axis");
    let columns = ["a", "b"]
        .map(|name| placeholder(name, DataType::Float, Some(&[-1, 1])))
        .into_iter();
    let graph = load(columns.chain([axis, joined]).collect(), &Options::default()).unwrap();
    let inputs = [floats(&[2, 1], &[1.0, 2.0]), floats(&[2, 1], &[3.0, 4.0])];
    let outputs = graph.run(&inputs, &mut graph.scratch()).unwrap();
    assert_eq!(outputs, [floats(&[2, 2], &[1.0, 3.0, 2.0, 4.0])]);
}

#[test]
fn a_graph_of_one_record_scores_many_one_by_one() {
    for lengths in [&[1, 2][..], &[2]] {
        let x = placeholder("x", DataType::Float, Some(lengths));
        let graph = load(vec![x, two("y", "Mul", "x", "x")], &Options::default()).unwrap();
        assert_eq!((graph.width(), graph.output_width()), (Some(2), Some(2)));
        let mut scores = Vec::new();
        let rows = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            graph
                .run_rows(&rows, 2, &mut graph.scratch(), &mut scores)
                .unwrap(),
            2
        );
        assert_eq!(scores, [1.0, 4.0, 9.0, 16.0]);
        let rows = [1.0, 2.0, 3.0];
        let error = graph.run_floats(&rows, 2, &mut graph.scratch(), &mut scores);
        assert!(matches!(error, Err(Error::WrongRows { width: 2, .. })));
        let rows = [5.0, 6.0, 7.0, 8.0];
        let width = graph.run_floats(&rows, 2, &mut graph.scratch(), &mut scores);
        assert_eq!((width.unwrap(), scores), (2, vec![25.0, 36.0, 49.0, 64.0]));
    }
}

#[test]
fn doubles_keep_their_precision() {
    let x = placeholder("x", DataType::Double, Some(&[-1, 1]));
    let sum = two("y", "Add", "x", "x").attr("T", DataType::Double);
    let graph = load(vec![x, sum], &Options::default()).unwrap();
    assert_eq!(graph.inputs()[0].element, Element::Double);
    let mut scores = Vec::new();
    graph
        .run_rows(&[0.1], 1, &mut graph.scratch(), &mut scores)
        .unwrap();
    assert_eq!(scores, [0.2]);
    let error = graph.run_floats(&[0.1], 1, &mut graph.scratch(), &mut scores);
    assert!(matches!(error, Err(Error::NotRows { .. })));
}

#[test]
fn integers_take_integers_only() {
    let x = placeholder("x", DataType::Int32, Some(&[-1, 1]));
    let graph = load(vec![x, two("y", "Add", "x", "x")], &Options::default()).unwrap();
    let (mut scratch, mut scores) = (graph.scratch(), Vec::new());
    graph
        .run_rows(&[21.0], 1, &mut scratch, &mut scores)
        .unwrap();
    assert_eq!(scores, [42.0]);
    for wrong in [0.5, f64::NAN, 3e9] {
        let error = graph
            .run_rows(&[wrong], 1, &mut scratch, &mut scores)
            .unwrap_err();
        assert!(matches!(error, Error::NotRepresentable { .. }), "{error}");
    }
}

#[test]
fn an_input_of_unknown_rank_is_refused_by_name() {
    let x = placeholder("x", DataType::Float, None);
    let error = load(vec![x, two("y", "Add", "x", "x")], &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "input `x` has no known rank");
}

#[test]
fn an_input_has_its_width_from_its_weights() {
    let weights = || {
        let dim = vec![Dim { size: 3 }, Dim { size: 2 }];
        let value = TensorProto {
            dtype: DataType::Float as i32,
            tensor_shape: Some(TensorShapeProto {
                dim,
                unknown_rank: false,
            }),
            float_val: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            ..TensorProto::default()
        };
        node()
            .name("w")
            .op("Const")
            .attr("dtype", DataType::Float)
            .attr("value", value)
    };
    for lengths in [None, Some(&[-1, -1][..])] {
        let x = placeholder("x", DataType::Float, lengths);
        let product = two("y", "MatMul", "x", "w");
        let graph = load(vec![x, weights(), product], &Options::default()).unwrap();
        assert_eq!((graph.width(), graph.output_width()), (Some(3), Some(2)));
        let mut scores = Vec::new();
        graph
            .run_rows(&[1.0, 1.0, 1.0], 1, &mut graph.scratch(), &mut scores)
            .unwrap();
        assert_eq!(scores, [9.0, 12.0]);
    }
}

#[test]
fn an_input_of_text_is_refused_by_its_type() {
    let x = placeholder("x", DataType::String, Some(&[-1]));
    let error = load(vec![x, two("y", "Add", "x", "x")], &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unsupported operators: Placeholder of type string"
    );
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let x = placeholder("x", DataType::Float, Some(&[-1, 2]));
    let graph = load(vec![x, two("y", "Add", "x", "x")], &Options::default()).unwrap();
    let mut scratch = graph.scratch();
    let mut fails = |inputs: &[Tensor]| graph.run(inputs, &mut scratch).unwrap_err().to_string();
    assert_eq!(fails(&[]), "the graph has 1 inputs, 0 tensors were given");
    let narrow = floats(&[2, 1], &[1.0, 2.0]);
    assert_eq!(
        fails(&[narrow]),
        "input `x` takes float [?, 2], float [2, 1] was given"
    );
    let wide = Tensor {
        shape: vec![1, 2],
        data: Data::Double(vec![1.0, 2.0]),
    };
    assert_eq!(
        fails(&[wide]),
        "input `x` takes float [?, 2], double [1, 2] was given"
    );
    let short = Tensor {
        shape: vec![2, 2],
        data: Data::Float(vec![1.0, 2.0]),
    };
    assert_eq!(
        fails(&[short]),
        "a tensor of shape [2, 2] was given 2 elements"
    );
    assert_eq!(
        graph
            .run(&[floats(&[1, 2], &[1.0, 2.0])], &mut scratch)
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn batches_that_disagree_fail_and_leave_the_scratch_usable() {
    let columns = ["a", "b"].map(|name| placeholder(name, DataType::Float, Some(&[-1])));
    let nodes = columns
        .into_iter()
        .chain([two("y", "Add", "a", "b")])
        .collect();
    let graph = load(nodes, &Options::default()).unwrap();
    let mut scratch = graph.scratch();
    let uneven = [floats(&[2], &[1.0, 2.0]), floats(&[3], &[1.0, 2.0, 3.0])];
    let error = graph.run(&uneven, &mut scratch).unwrap_err();
    assert!(matches!(error, Error::Run { .. }), "{error}");
    let even = [floats(&[2], &[1.0, 2.0]), floats(&[2], &[3.0, 4.0])];
    assert_eq!(
        graph.run(&even, &mut scratch).unwrap(),
        [floats(&[2], &[4.0, 6.0])]
    );
}

#[test]
fn a_value_inside_a_layer_can_be_asked_for() {
    let weights = TensorProto {
        dtype: DataType::Float as i32,
        tensor_shape: Some(TensorShapeProto {
            dim: vec![Dim { size: 1 }, Dim { size: 2 }],
            unknown_rank: false,
        }),
        float_val: vec![1.0, -1.0],
        ..TensorProto::default()
    };
    let weights = node()
        .name("w")
        .op("Const")
        .attr("dtype", DataType::Float)
        .attr("value", weights);
    let relu = node()
        .name("r")
        .op("Relu")
        .input("p")
        .attr("T", DataType::Float);
    let nodes = vec![
        placeholder("x", DataType::Float, Some(&[-1, 1])),
        weights,
        two("p", "MatMul", "x", "w"),
        relu,
    ];
    let options = Options {
        outputs: vec!["r".to_owned(), "p".to_owned()],
        ..Options::default()
    };
    let graph = load(nodes, &options).unwrap();
    let outputs = graph
        .run(&[floats(&[2, 1], &[3.0, -4.0])], &mut graph.scratch())
        .unwrap();
    let (rectified, product) = ([3.0, 0.0, 0.0, 4.0], [3.0, -3.0, -4.0, 4.0]);
    assert_eq!(
        outputs,
        [floats(&[2, 2], &rectified), floats(&[2, 2], &product)]
    );
}
