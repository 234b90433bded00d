//! The strategies of this workspace. A crate says that it is one in its manifest, so that a new
//! strategy needs no edit here:
//!
//! ```toml
//! [package.metadata.strategy]
//! name = "actor"           # the consumer group, and what `--strategy` takes
//! binary = "actor-server"  # the program to start
//! ```

use anyhow::{Context, Result, bail};

use crate::workspace::{self, Manifest};

/// A strategy that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strategy {
    pub(crate) name: String,
    /// The cargo package that holds it.
    pub(crate) package: String,
    /// The name of its program.
    pub(crate) binary: String,
}

/// The strategies that `manifests` declare.
///
/// # Errors
/// A declaration without a name or a binary, and two strategies of one name.
pub(crate) fn declared(manifests: &[Manifest]) -> Result<Vec<Strategy>> {
    let mut strategies: Vec<Strategy> = Vec::new();
    for manifest in manifests.iter().filter(|manifest| declares(manifest)) {
        let entry = |key| {
            manifest
                .text(&["package", "metadata", "strategy", key])
                .map(str::to_owned)
                .with_context(|| {
                    format!(
                        "{}: [package.metadata.strategy] has no {key}",
                        manifest.path.display()
                    )
                })
        };
        let strategy = Strategy {
            name: entry("name")?,
            package: manifest.name().to_owned(),
            binary: entry("binary")?,
        };
        if let Some(other) = strategies.iter().find(|other| other.name == strategy.name) {
            bail!(
                "{} and {} are both called `{}`",
                other.package,
                strategy.package,
                strategy.name
            );
        }
        strategies.push(strategy);
    }
    Ok(strategies)
}

/// Whether a manifest says that its crate is a strategy.
pub(crate) fn declares(manifest: &Manifest) -> bool {
    manifest.has(&["package", "metadata", "strategy"])
}

/// The strategy of this workspace that is called `name`, for the command line.
pub(crate) fn named(name: &str) -> Result<Strategy> {
    find(declared(&workspace::manifests(&workspace::root())?)?, name)
}

fn find(strategies: Vec<Strategy>, name: &str) -> Result<Strategy> {
    let known: Vec<_> = strategies
        .iter()
        .map(|strategy| strategy.name.clone())
        .collect();
    strategies
        .into_iter()
        .find(|strategy| strategy.name == name)
        .with_context(|| format!("no such strategy; there is: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::manifest;

    fn strategy(package: &str, name: &str) -> Manifest {
        let metadata =
            format!("[package.metadata.strategy]\nname = \"{name}\"\nbinary = \"{package}\"");
        manifest(package, &metadata)
    }

    #[test]
    fn crates_that_declare_a_strategy_are_found_and_others_are_not() {
        let manifests = [strategy("actor-server", "actor"), manifest("serving", "")];
        let expected = Strategy {
            name: "actor".to_owned(),
            package: "actor-server".to_owned(),
            binary: "actor-server".to_owned(),
        };
        assert_eq!(declared(&manifests).unwrap(), [expected]);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let manifests = [
            strategy("actor-server", "actor"),
            strategy("keyed-server", "keyed"),
        ];
        let error = find(declared(&manifests).unwrap(), "akka").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no such strategy; there is: actor, keyed"
        );
    }

    #[test]
    fn a_declaration_without_a_binary_is_an_error_that_names_the_manifest() {
        let manifests = [manifest(
            "keyed-server",
            "[package.metadata.strategy]\nname = \"keyed\"",
        )];
        let error = declared(&manifests).unwrap_err();
        assert_eq!(
            error.to_string(),
            "crates/keyed-server/Cargo.toml: [package.metadata.strategy] has no binary"
        );
    }

    #[test]
    fn two_strategies_of_one_name_are_an_error() {
        let manifests = [
            strategy("actor-server", "actor"),
            strategy("stage-server", "actor"),
        ];
        let error = declared(&manifests).unwrap_err();
        assert_eq!(
            error.to_string(),
            "actor-server and stage-server are both called `actor`"
        );
    }

    #[test]
    fn the_default_strategy_of_the_demo_is_declared() {
        assert_eq!(named("actor").unwrap().binary, "actor-server");
    }
}
