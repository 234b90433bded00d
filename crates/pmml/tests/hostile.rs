//! Documents that are broken, contradictory or made to do harm are refused, quickly and by name,
//! and what is left of a damaged document that still loads does not panic when it scores.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use pmml::{Detail, Model, Prediction};
use proptest::prelude::*;

fn document(derived: &str, model: &str) -> String {
    format!(
        r#"<PMML version="4.4" xmlns="http://www.dmg.org/PMML-4_4">
<DataDictionary>
  <DataField name="x" optype="continuous" dataType="double"/>
  <DataField name="y" optype="continuous" dataType="double"/>
</DataDictionary>
<TransformationDictionary>{derived}</TransformationDictionary>
{model}
</PMML>"#
    )
}

/// A regression on one field.
fn reading(field: &str) -> String {
    format!(
        r#"<RegressionModel functionName="regression">
  <MiningSchema><MiningField name="x"/><MiningField name="y" usageType="target"/></MiningSchema>
  <RegressionTable intercept="0"><NumericPredictor name="{field}" coefficient="1"/></RegressionTable>
</RegressionModel>"#
    )
}

fn derived(name: &str, expression: &str) -> String {
    format!(
        "<DerivedField name='{name}' optype='continuous' dataType='double'>{expression}</DerivedField>"
    )
}

/// The refusal of a document, with its causes.
fn refusal(document: &str) -> String {
    let error = Model::load(document.as_bytes()).unwrap_err();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        write!(text, ": {error}").unwrap();
        source = error.source();
    }
    text
}

fn score(model: &Model, value: f64) -> Result<Option<f64>, pmml::ScoreError> {
    let (mut row, mut prediction) = (model.row(), Prediction::default());
    row.set_number(0, value);
    model.score(&mut row, &mut prediction)?;
    Ok(prediction.value)
}

#[test]
fn refusals_name_the_thing_and_the_place() {
    let unknown = refusal(&document("", &reading("z")));
    assert_eq!(unknown, "line 9, column 34: there is no field `z` here");
    let refused = refusal(&document("", "<TextModel functionName='regression'/>"));
    assert!(refused.contains("MiningSchema"), "{refused}");
    let aggregate = derived("z", "<Aggregate field='x' function='sum'/>");
    let refused = refusal(&document(&aggregate, &reading("z")));
    assert!(
        refused.contains("element `Aggregate` is not supported"),
        "{refused}"
    );
    let unused = document(&aggregate, &reading("x"));
    Model::load(unused.as_bytes()).expect("what is not read need not be supported");
    let function = derived(
        "z",
        "<Apply function='shuffle'><FieldRef field='x'/></Apply>",
    );
    let refused = refusal(&document(&function, &reading("z")));
    assert!(
        refused.contains("function `shuffle` is not supported"),
        "{refused}"
    );
    let method = reading("x").replace("functionName", "normalizationMethod='loud' functionName");
    let refused = refusal(&document("", &method));
    assert!(
        refused.contains("normalizationMethod=\"loud\" of `RegressionModel`"),
        "{refused}"
    );
}

#[test]
fn what_depends_on_itself_is_refused() {
    let field = derived("z", "<FieldRef field='w'/>") + &derived("w", "<FieldRef field='z'/>");
    assert!(refusal(&document(&field, &reading("z"))).contains("`z` depends on itself"));
    let function = "<DefineFunction name='f' optype='continuous'><ParameterField name='p'/>\
        <Apply function='f'><FieldRef field='p'/></Apply></DefineFunction>"
        .to_owned()
        + &derived("z", "<Apply function='f'><FieldRef field='x'/></Apply>");
    assert!(refusal(&document(&function, &reading("z"))).contains("`f` calls itself"));
}

#[test]
fn chains_and_nesting_end_somewhere() {
    let start = Instant::now();
    // A field of a field of a field: in this order each is compiled when the next is known.
    let mut chain = derived("z0", "<FieldRef field='x'/>");
    for level in 1..20_000 {
        chain += &derived(
            &format!("z{level}"),
            &format!("<FieldRef field='z{}'/>", level - 1),
        );
    }
    let refused = refusal(&document(&chain, &reading("z19999")));
    assert!(refused.contains("too deep"), "{refused}");
    let shallow = Model::load(document(&chain, &reading("z90")).as_bytes()).unwrap();
    assert_eq!(score(&shallow, 2.5), Ok(Some(2.5)));
    let deep = "<Apply function='abs'>".repeat(3_000)
        + "<FieldRef field='x'/>"
        + &"</Apply>".repeat(3_000);
    let refused = refusal(&document(&derived("z", &deep), &reading("z")));
    assert!(refused.contains("too deep"), "{refused}");
    // Each function calls the one before twice.
    let mut functions = "<DefineFunction name='f0' optype='continuous'><ParameterField name='p'/>\
        <FieldRef field='p'/></DefineFunction>"
        .to_owned();
    for level in 1..60 {
        let call = format!(
            "<Apply function='f{}'><FieldRef field='p'/></Apply>",
            level - 1
        );
        write!(
            functions,
            "<DefineFunction name='f{level}' optype='continuous'><ParameterField name='p'/>\
             <Apply function='+'>{call}{call}</Apply></DefineFunction>"
        )
        .unwrap();
    }
    functions += &derived("z", "<Apply function='f59'><FieldRef field='x'/></Apply>");
    let refused = refusal(&document(&functions, &reading("z")));
    assert!(refused.contains("too many steps"), "{refused}");
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// As deep as is accepted is not too deep to be evaluated.
#[test]
fn the_deepest_nesting_that_loads_scores() {
    let nested = |depth: usize| {
        let mut fields = derived("z0", "<FieldRef field='x'/>");
        let mut name = "z0".to_owned();
        for level in 1..=depth {
            let next = format!("z{level}");
            fields += &derived(
                &next,
                &format!(
                    "<Apply function='if'><Constant dataType='boolean'>true</Constant>\
                     <FieldRef field='{name}'/></Apply>"
                ),
            );
            name = next;
        }
        Model::load(document(&fields, &reading(&name)).as_bytes())
    };
    let deepest = (1..200).rev().find_map(|depth| nested(depth).ok()).unwrap();
    assert_eq!(score(&deepest, 4.0), Ok(Some(4.0)));
    let fields = derived(
        "z",
        &("<Apply function='abs'>".repeat(190) + "<FieldRef field='x'/>" + &"</Apply>".repeat(190)),
    );
    let model = Model::load(document(&fields, &reading("z")).as_bytes()).unwrap();
    assert_eq!(score(&model, -4.0), Ok(Some(4.0)));
}

#[test]
fn a_model_is_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Model::load(document("", &reading("x")).as_bytes()).unwrap());
}

#[test]
fn trees_may_be_deeper_than_the_stack() {
    let mut tree = String::new();
    for level in 0..2_000 {
        write!(
            tree,
            "<Node score='{level}'><SimplePredicate field='x' operator='greaterThan' value='{level}'/>"
        )
        .unwrap();
    }
    tree += &"</Node>".repeat(2_000);
    let model = format!(
        "<TreeModel functionName='regression' noTrueChildStrategy='returnLastPrediction'>\
         <MiningSchema><MiningField name='x'/><MiningField name='y' usageType='target'/>\
         </MiningSchema><Node score='-1'><True/>{tree}</Node></TreeModel>"
    );
    let model = Model::load(document("", &model).as_bytes()).unwrap();
    assert_eq!(score(&model, 1234.5), Ok(Some(1234.0)));
    assert_eq!(score(&model, -3.0), Ok(Some(-1.0)));
    assert_eq!(score(&model, 1e9), Ok(Some(1999.0)));
}

#[test]
fn noise_is_refused_at_once() {
    let start = Instant::now();
    let mut seed = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    })
    .take(15 << 20)
    .collect();
    Model::load(&noise).unwrap_err();
    let brackets: Vec<u8> = noise
        .iter()
        .map(|byte| b"<>='\"/! a"[*byte as usize % 9])
        .collect();
    Model::load(&brackets).unwrap_err();
    Model::load("<".repeat(15 << 20).as_bytes()).unwrap_err();
    Model::load("<!--".repeat(4 << 20).as_bytes()).unwrap_err();
    Model::load(&[]).unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn not_a_number_is_an_invalid_value() {
    let model = Model::load(document("", &reading("x")).as_bytes()).unwrap();
    assert_eq!(
        score(&model, f64::NAN).unwrap_err().to_string(),
        "`x` cannot be NaN"
    );
    let lenient = reading("x").replace(
        "<MiningField name=\"x\"/>",
        "<MiningField name='x' invalidValueTreatment='asMissing'/>",
    );
    let model = Model::load(document("", &lenient).as_bytes()).unwrap();
    assert_eq!(score(&model, f64::NAN), Ok(None));
    let mut row = model.row();
    let mut prediction = Prediction::default();
    model.score(&mut row, &mut prediction).unwrap();
    assert_eq!(
        prediction.value, None,
        "a missing input gives a null prediction"
    );
}

#[test]
fn a_document_is_held_to_its_own_verification() {
    let with = |expected: &str| {
        let verification = format!(
            "<ModelVerification><VerificationFields><VerificationField field='x' column='a'/>\
             <VerificationField field='y' column='b' precision='1e-3'/></VerificationFields>\
             <InlineTable><row><a>2</a><b>2</b></row><row><a>3</a><b>{expected}</b></row>\
             </InlineTable></ModelVerification></RegressionModel>"
        );
        document(
            "",
            &reading("x").replace("</RegressionModel>", &verification),
        )
    };
    Model::load(with("3.002").as_bytes()).unwrap();
    assert_eq!(
        refusal(&with("3.01")),
        "verification record 2: `y` is 3, the document says 3.01"
    );
}

/// Every case document, cut off and with bits flipped: it is refused or it scores, and neither
/// panics.
#[test]
fn damaged_documents_do_not_panic() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut seed = 20_260_725_u64;
    println!("seed {seed}");
    let mut random = move |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut paths: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut loaded = 0;
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "pmml"))
    {
        let whole = std::fs::read(path).unwrap();
        for round in 0..40 {
            let mut bytes = whole.clone();
            match round % 4 {
                0 => bytes.truncate(random(bytes.len())),
                1 => {
                    let at = random(bytes.len());
                    bytes[at] ^= 1 << random(8);
                }
                2 => {
                    // A digit for a digit: well-formed, but another document.
                    for _ in 0..3 {
                        let at = random(bytes.len());
                        if let Some(digit) = bytes[at..].iter_mut().find(|b| b.is_ascii_digit()) {
                            *digit = b'0' + random(10) as u8;
                        }
                    }
                }
                _ => {
                    let (from, to) = (random(bytes.len()), random(bytes.len()));
                    bytes.swap(from, to);
                }
            }
            let Ok(model) = Model::load(&bytes) else {
                continue;
            };
            loaded += 1;
            let mut row = model.row();
            let mut prediction = Prediction {
                detail: Detail::All,
                ..Prediction::default()
            };
            for value in [0.0, -1.5, 1e300, f64::INFINITY, f64::NAN] {
                for input in 0..model.inputs().len() {
                    match random(4) {
                        0 => row.set_missing(input),
                        1 => row.set_text(input, "u"),
                        _ => row.set_number(input, value),
                    }
                }
                let _ = model.score(&mut row, &mut prediction);
            }
        }
    }
    assert!(loaded > 100, "only {loaded} damaged documents load");
}

/// Words of the language, strung together without sense.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("<PMML version='4.4'>".to_owned()),
        Just("</PMML>".to_owned()),
        Just("<DataDictionary><DataField name='x' optype='continuous' dataType='double'/></DataDictionary>".to_owned()),
        Just("<MiningSchema><MiningField name='x'/></MiningSchema>".to_owned()),
        Just("<TreeModel functionName='regression'>".to_owned()),
        Just("</TreeModel>".to_owned()),
        Just("<MiningModel functionName='regression'>".to_owned()),
        Just("</MiningModel>".to_owned()),
        Just("<Segmentation multipleModelMethod='sum'><Segment><True/>".to_owned()),
        Just("</Segment></Segmentation>".to_owned()),
        Just("<Node score='1'><True/>".to_owned()),
        Just("</Node>".to_owned()),
        Just("<SimplePredicate field='x' operator='lessThan' value='1'/>".to_owned()),
        "[<>/='\" a-z0-9&;!\\[-]{0,12}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_refused_or_loads(words in prop::collection::vec(word(), 0..14)) {
        if let Ok(model) = Model::load(words.concat().as_bytes()) {
            let mut row = model.row();
            let _ = model.score(&mut row, &mut Prediction::default());
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Model::load(&bytes).is_err());
    }

    /// A tree in flat form answers what the same tree answers that cannot be flattened.
    #[test]
    fn flat_trees_answer_what_trees_answer(
        thresholds in prop::collection::vec((-3..3_i8, 0..6_usize), 1..5),
        strategy in 0..4_usize,
        stays in any::<bool>(),
        values in prop::collection::vec(prop::option::of(-4..4_i8), 1..8),
    ) {
        let operators =
            ["lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual", "equal", "notEqual"];
        let strategy = ["none", "lastPrediction", "nullPrediction", "defaultChild"][strategy];
        let strategy_of_rest = if stays { "returnLastPrediction" } else { "returnNullPrediction" };
        let tree = |wrap: bool| {
            let mut nodes = String::new();
            for (number, (threshold, operator)) in thresholds.iter().enumerate() {
                let test = format!(
                    "<SimplePredicate field='x' operator='{}' value='{threshold}'/>",
                    operators[*operator]
                );
                // The same question in a form that is not flat.
                let test = if wrap {
                    format!("<CompoundPredicate booleanOperator='and'>{test}{test}</CompoundPredicate>")
                } else {
                    test
                };
                write!(nodes, "<Node id='n{number}' score='{number}'>{test}</Node>").unwrap();
            }
            let model = format!(
                "<TreeModel functionName='regression' missingValueStrategy='{strategy}' \
                 noTrueChildStrategy='{strategy_of_rest}'><MiningSchema><MiningField name='x'/>\
                 <MiningField name='y' usageType='target'/></MiningSchema>\
                 <Node score='-1' defaultChild='n0'><True/>{nodes}</Node></TreeModel>"
            );
            Model::load(document("", &model).as_bytes()).unwrap()
        };
        let (flat, wrapped) = (tree(false), tree(true));
        for value in values {
            let answer = |model: &Model| {
                let (mut row, mut prediction) = (model.row(), Prediction::default());
                match value {
                    Some(value) => row.set_number(0, f64::from(value)),
                    None => row.set_missing(0),
                }
                model.score(&mut row, &mut prediction).map(|()| prediction.value)
            };
            prop_assert_eq!(answer(&flat), answer(&wrapped));
        }
    }
}
