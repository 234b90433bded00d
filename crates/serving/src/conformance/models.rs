use super::world::{World, descriptor, regression, wine};

/// A decision tree of two leaves, with the probabilities 0.75 and 0.25 on one, 0.2 and 0.8 on the
/// other (PMML 4.4, TreeModel: probabilities are the shares of recordCount).
const TREE: &str = r#"<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
<DataDictionary><DataField name="alcohol" optype="continuous" dataType="double"/>
<DataField name="quality" optype="categorical" dataType="string"><Value value="5"/><Value value="good"/></DataField></DataDictionary>
<TreeModel functionName="classification" splitCharacteristic="binarySplit">
<MiningSchema><MiningField name="alcohol"/><MiningField name="quality" usageType="target"/></MiningSchema>
<Node><True/>
<Node score="5" recordCount="4"><SimplePredicate field="alcohol" operator="lessOrEqual" value="10"/>
<ScoreDistribution value="5" recordCount="3"/><ScoreDistribution value="good" recordCount="1"/></Node>
<Node score="good" recordCount="5"><SimplePredicate field="alcohol" operator="greaterThan" value="10"/>
<ScoreDistribution value="5" recordCount="1"/><ScoreDistribution value="good" recordCount="4"/></Node>
</Node></TreeModel></PMML>"#;

pub(super) fn all_outputs(world: &World) {
    world.model(&descriptor("wine", "tree", TREE));
    world.records(&[wine("wine", 9.0), wine("wine", 11.0)]);
    let server = world.start(&["--outputs", "all"]);
    let results = world.results(2);
    let (first, second) = (&results[0].result, &results[1].result);
    assert_eq!(
        (first.value, first.label.as_deref()),
        (Some(5.0), Some("5"))
    );
    assert_eq!(
        (second.value, second.label.as_deref()),
        (None, Some("good")),
        "no number"
    );
    assert_eq!(first.probabilities["5"], 0.75);
    assert_eq!(first.probabilities["good"], 0.25);
    assert_eq!(second.probabilities["good"], 0.8);
    server.stop();
}

pub(super) fn state(world: &World) {
    let server = world.start(&[]);
    assert_eq!(server.get("/models"), (200, serde_json::json!([])));
    let (status, unknown) = server.get("/state/wine");
    assert_eq!((status, &unknown["known"]), (404, &serde_json::json!([])));
    assert!(unknown["error"].is_string());
    let one = regression("wine", "one", 1.0);
    world.model(&one);
    server.wait_for_model("wine", "one");
    world.records(&[wine("wine", 1.0), wine("wine", 2.0)]);
    server.wait_for_count("scored", 2);
    world.model(&protobufs::ModelDescriptor {
        version: "v2".to_owned(),
        ..regression("wine", "two", 2.0)
    });
    server.wait_for_model("wine", "two");

    let (status, state) = server.get("/state/wine");
    assert_eq!(status, 200);
    assert_eq!(state["dataType"], "wine");
    assert_eq!(state["name"], "one");
    assert_eq!(state["description"], "one, for a scenario");
    assert_eq!(state["modelType"], "PMML");
    assert_eq!(state["version"], "0");
    assert_eq!(state["usage"], 2);
    assert_eq!(
        state["next"],
        serde_json::json!({ "name": "two", "version": "v2" })
    );
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    for spread in [&state, &state["total"]] {
        assert!(number(&spread["min"]) <= number(&spread["average"]));
        assert!(number(&spread["average"]) <= number(&spread["max"]));
    }
    assert!(number(&state["since"]) > 1.6e12, "milliseconds");
    let digest = state["digest"].as_str().expect("a text");
    assert!(
        digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit()),
        "{digest}"
    );
    let results = world.results(2);
    assert_eq!(format!("{:016x}", results[0].result.model_digest), digest);

    let (_, all) = server.get("/state");
    assert_eq!(all["strategy"], world.name());
    assert_eq!(all["records"], 2);
    assert_eq!(all["scored"], 2);
    assert_eq!(all["models"][0]["dataType"], "wine");
    assert_eq!(server.get("/state?scope=application").0, 400);
    assert_eq!(server.get("/state/wine?scope=application").0, 400);
    assert_eq!(
        server.get("/state/beer").1["known"],
        serde_json::json!(["wine"])
    );
    assert_eq!(server.get("/health/live").0, 200);
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(server.get("/nothing").0, 404);
    let (status, metrics) = server.text("/metrics");
    assert_eq!(status, 200);
    let label = format!("{{strategy=\"{}\"}}", world.name());
    assert!(
        metrics.contains(&format!("model_serving_scored_total{label} 2")),
        "{metrics}"
    );
    server.stop();
}
