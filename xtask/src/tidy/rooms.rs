//! Which crate may use which: the direction of dependencies.
//!
//! The three tables below are the whole rule; the rest of this file holds the manifests against
//! them. `[dev-dependencies]` are exempt from the arrows, so that a test may bring up a broker.

use super::Problem;
use crate::strategies;
use crate::workspace::{Manifest, Purpose};

/// Where the tables are, for the messages.
const TABLES: &str = "xtask/src/tidy/rooms.rs";

/// Each crate, and the crates of this workspace that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    // what knows nothing of the others
    ("protobufs", &[]),
    ("configuration", &[]),
    ("forest", &[]),
    ("kafka", &[]),
    ("embedded-kafka", &[]),
    // models, from file format to served model
    ("pmml", &["forest"]),
    ("tensor", &["forest"]),
    ("model", &["pmml", "tensor", "protobufs"]),
    // what the strategies share
    (
        "serving",
        // The broker is for the scenarios that every strategy must pass: a feature, for tests.
        &[
            "model",
            "kafka",
            "configuration",
            "protobufs",
            "embedded-kafka",
        ],
    ),
    ("dataflow", &["serving"]),
    // programs
    (
        "client",
        &[
            "kafka",
            "configuration",
            "protobufs",
            "model",
            "embedded-kafka",
        ],
    ),
    // It scores tensors and rows of a document, not records.
    (
        "inference-server",
        &["pmml", "tensor", "configuration", "protobufs"],
    ),
    (
        "xtask",
        &["kafka", "configuration", "protobufs", "embedded-kafka"],
    ),
];

/// What a strategy may use; strategies are the crates with a `[package.metadata.strategy]`, and
/// need no row above.
const STRATEGIES_USE: &[&str] = &["configuration", "serving", "dataflow"];

/// What one strategy may use beyond that.
const EXCEPTIONS: &[(&str, &[&str])] = &[("tf-serving-server", &["protobufs", "model"])];

/// External crates that are kept behind the walls of a few rooms, tests included.
const WALLS: &[Wall] = &[
    Wall {
        around: &["rdkafka", "rdkafka-sys"],
        rooms: &["kafka"],
        tests_of: &["embedded-kafka"],
        instead: "use the sources, sinks and administration of the crate kafka",
    },
    Wall {
        around: &["timely", "differential-dataflow"],
        rooms: &["dataflow"],
        tests_of: &[],
        instead: "use the operators of the crate dataflow",
    },
    Wall {
        around: &["axum"],
        rooms: &["serving", "inference-server"],
        tests_of: &[],
        instead: "let the crate serving answer HTTP",
    },
    Wall {
        around: &["object_store", "reqwest", "tar"],
        rooms: &["model"],
        tests_of: &[],
        instead: "fetch and unpack models with the crate model",
    },
    Wall {
        around: &["actix", "actix-rt"],
        rooms: &["actor-server"],
        tests_of: &[],
        instead: "actors are what the actor strategy shows; use tokio elsewhere",
    },
];

struct Wall {
    around: &'static [&'static str],
    /// Crates that may use them.
    rooms: &'static [&'static str],
    /// Crates whose tests may use them.
    tests_of: &'static [&'static str],
    instead: &'static str,
}

/// Holds the manifests of the workspace against the tables.
pub(super) fn check(manifests: &[Manifest]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for manifest in manifests {
        problems.extend(check_row(manifest));
        problems.extend(check_arrows(manifest, manifests));
        problems.extend(check_walls(manifest));
    }
    problems
}

/// The crates that a crate may use; `None` for one the tables do not know.
fn may_use(manifest: &Manifest) -> Option<Vec<&'static str>> {
    let row = |table: &'static [(&str, &'static [&'static str])]| {
        table
            .iter()
            .find(|(room, _)| *room == manifest.name())
            .map(|(_, uses)| *uses)
    };
    if strategies::declares(manifest) {
        return Some([STRATEGIES_USE, row(EXCEPTIONS).unwrap_or_default()].concat());
    }
    row(ARROWS).map(<[_]>::to_vec)
}

fn check_row(manifest: &Manifest) -> Option<Problem> {
    may_use(manifest).is_none().then(|| {
        Problem::new(
            &manifest.path,
            format!(
                "the tables of dependencies do not know `{}`",
                manifest.name()
            ),
            format!(
                "give it a row in {TABLES} with the crates it may use, or, when it is a strategy, \
                 an entry [package.metadata.strategy] in its manifest"
            ),
        )
    })
}

fn check_arrows(manifest: &Manifest, manifests: &[Manifest]) -> Vec<Problem> {
    let Some(allowed) = may_use(manifest) else {
        return Vec::new();
    };
    let room = |name: &str| manifests.iter().find(|other| other.name() == name);
    let mut problems = Vec::new();
    for dependency in manifest.dependencies() {
        let Some(used) = room(&dependency.name) else {
            continue;
        };
        if strategies::declares(manifest) && strategies::declares(used) {
            problems.push(Problem::new(
                &manifest.path,
                format!(
                    "the strategy `{}` depends on the strategy `{}`",
                    manifest.name(),
                    used.name()
                ),
                "move what both need to the crate serving",
            ));
        } else if dependency.purpose != Purpose::Development && !allowed.contains(&used.name()) {
            problems.push(Problem::new(
                &manifest.path,
                format!("`{}` may not depend on `{}`", manifest.name(), used.name()),
                format!(
                    "move what needs it to a crate that may; if the arrow is right after all, add \
                     it to {TABLES} and say why in docs/decisions"
                ),
            ));
        }
    }
    problems
}

fn check_walls(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    for dependency in manifest.dependencies() {
        let walls = WALLS
            .iter()
            .filter(|wall| wall.around.contains(&&*dependency.name));
        for wall in walls {
            let inside = wall.rooms.contains(&manifest.name())
                || dependency.purpose == Purpose::Development
                    && wall.tests_of.contains(&manifest.name());
            if !inside {
                problems.push(Problem::new(
                    &manifest.path,
                    format!(
                        "`{}` depends on `{}`, which is for {} alone",
                        manifest.name(),
                        dependency.name,
                        wall.rooms.join(" and "),
                    ),
                    wall.instead,
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::manifest;

    const STRATEGY: &str = "[package.metadata.strategy]\nname = \"x\"\nbinary = \"x\"\n";

    fn strategy(name: &str, tables: &str) -> Manifest {
        manifest(name, &format!("{STRATEGY}{tables}"))
    }

    fn faults(manifests: &[Manifest]) -> Vec<String> {
        check(manifests)
            .into_iter()
            .map(|problem| problem.fault)
            .collect()
    }

    #[test]
    fn arrows_of_the_table_pass() {
        let manifests = [
            manifest("forest", ""),
            manifest("protobufs", ""),
            manifest("pmml", "[dependencies]\nforest.workspace = true"),
            manifest(
                "model",
                "[dependencies]\npmml.workspace = true\nprotobufs.workspace = true",
            ),
            manifest("serving", "[dependencies]\nmodel.workspace = true"),
            strategy("keyed-server", "[dependencies]\nserving.workspace = true"),
        ];
        assert_eq!(faults(&manifests), [""; 0]);
    }

    #[test]
    fn an_arrow_that_points_the_wrong_way_fails() {
        let manifests = [
            manifest("forest", "[dependencies]\npmml.workspace = true"),
            manifest("pmml", "[build-dependencies]\nmodel.workspace = true"),
            manifest(
                "model",
                "[target.'cfg(unix)'.dependencies]\nkafka.workspace = true",
            ),
            manifest("kafka", ""),
        ];
        assert_eq!(
            faults(&manifests),
            [
                "`forest` may not depend on `pmml`",
                "`pmml` may not depend on `model`",
                "`model` may not depend on `kafka`",
            ]
        );
    }

    #[test]
    fn dev_dependencies_are_exempt_from_the_arrows() {
        let manifests = [
            manifest(
                "kafka",
                "[dev-dependencies]\nembedded-kafka.workspace = true",
            ),
            manifest("embedded-kafka", ""),
        ];
        assert_eq!(faults(&manifests), [""; 0]);
    }

    #[test]
    fn a_strategy_on_a_strategy_fails_even_in_its_tests() {
        let manifests = [
            strategy(
                "actor-server",
                "[dev-dependencies]\nkeyed-server.workspace = true",
            ),
            strategy("keyed-server", ""),
        ];
        assert_eq!(
            faults(&manifests),
            ["the strategy `actor-server` depends on the strategy `keyed-server`"]
        );
    }

    #[test]
    fn nobody_depends_on_a_strategy() {
        let manifests = [
            manifest("serving", "[dependencies]\nactor-server.workspace = true"),
            manifest("xtask", "[dependencies]\nactor-server.workspace = true"),
            strategy("actor-server", ""),
        ];
        assert_eq!(
            faults(&manifests),
            [
                "`serving` may not depend on `actor-server`",
                "`xtask` may not depend on `actor-server`",
            ]
        );
    }

    #[test]
    fn one_strategy_may_use_the_messages_and_others_may_not() {
        let messages = "[dependencies]\nprotobufs.workspace = true";
        let manifests = [
            manifest("protobufs", ""),
            strategy("tf-serving-server", messages),
            strategy("keyed-server", messages),
        ];
        assert_eq!(
            faults(&manifests),
            ["`keyed-server` may not depend on `protobufs`"]
        );
    }

    #[test]
    fn a_crate_without_a_row_fails_and_says_where_to_add_one() {
        let problems = check(&[manifest("attic", "")]);
        let [problem] = &problems[..] else {
            panic!("{problems:?}")
        };
        assert_eq!(
            problem.fault,
            "the tables of dependencies do not know `attic`"
        );
        assert!(problem.remedy.contains(TABLES), "{problem}");
    }

    #[test]
    fn walled_crates_fail_outside_their_walls_and_in_tests_too() {
        let manifests = [
            manifest("client", "[dependencies]\nrdkafka.workspace = true"),
            manifest("model", "[dev-dependencies]\nrdkafka-sys.workspace = true"),
            manifest("kafka", "[dependencies]\naxum.workspace = true"),
            manifest("serving", "[dependencies]\nactix.workspace = true"),
            strategy("keyed-server", "[dependencies]\ntimely.workspace = true"),
            manifest("embedded-kafka", "[dependencies]\nrdkafka.workspace = true"),
        ];
        assert_eq!(
            faults(&manifests),
            [
                "`client` depends on `rdkafka`, which is for kafka alone",
                "`model` depends on `rdkafka-sys`, which is for kafka alone",
                "`kafka` depends on `axum`, which is for serving and inference-server alone",
                "`serving` depends on `actix`, which is for actor-server alone",
                "`keyed-server` depends on `timely`, which is for dataflow alone",
                "`embedded-kafka` depends on `rdkafka`, which is for kafka alone",
            ]
        );
    }

    #[test]
    fn walled_crates_pass_inside_their_walls() {
        let manifests = [
            manifest("kafka", "[dependencies]\nrdkafka.workspace = true"),
            manifest(
                "embedded-kafka",
                "[dev-dependencies]\nrdkafka.workspace = true",
            ),
            manifest("serving", "[dependencies]\naxum.workspace = true"),
            manifest("dataflow", "[dependencies]\ntimely.workspace = true"),
            strategy("actor-server", "[dependencies]\nactix.workspace = true"),
        ];
        assert_eq!(faults(&manifests), [""; 0]);
    }

    #[test]
    fn every_name_in_the_tables_has_a_row_of_its_own() {
        let rooms: Vec<_> = ARROWS.iter().map(|(room, _)| *room).collect();
        for (room, uses) in ARROWS
            .iter()
            .chain(EXCEPTIONS)
            .chain([&("", STRATEGIES_USE)])
        {
            for used in *uses {
                assert!(
                    rooms.contains(used),
                    "{room} may use {used}, which has no row"
                );
            }
        }
    }

    #[test]
    fn the_arrows_form_no_circle() {
        let mut settled: Vec<&str> = Vec::new();
        while settled.len() < ARROWS.len() {
            let next = ARROWS.iter().find(|(room, uses)| {
                !settled.contains(room) && uses.iter().all(|used| settled.contains(used))
            });
            let Some((room, _)) = next else {
                panic!("a circle beside {settled:?}")
            };
            settled.push(room);
        }
    }
}
