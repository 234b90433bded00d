//! The strategies of this workspace. A crate says that it is one in its manifest, so that a new
//! strategy needs no edit here:
//!
//! ```toml
//! [package.metadata.strategy]
//! name = "keyed"                         # the consumer group, and what `--strategy` takes
//! binary = "keyed-server"                # the program to start
//! server-flags = ["--workers", "2"]      # optional: what the demo gives the server besides
//! provider-flags = ["--data-types", "3"] # optional: what the demo gives the provider besides
//! needs = ["inference-server", "--models", "data/models"]  # optional: a program of this workspace,
//!                                        # called as its package, to start before, and its flags
//! contenders = ["", "--workers 2"]       # optional: with which flags it is compared
//! ```

use std::ffi::OsStr;

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};
use toml::Value;

use crate::workspace::{self, Manifest};

/// Where a manifest declares a strategy.
const ENTRY: [&str; 3] = ["package", "metadata", "strategy"];

/// The test target in which each strategy runs the scenarios of every strategy.
pub(crate) const SCENARIOS: &str = "scenarios";

/// A strategy that can be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strategy {
    pub(crate) name: String,
    /// The cargo package that holds it.
    pub(crate) package: String,
    /// The name of its program.
    pub(crate) binary: String,
    /// What the demo gives the server besides.
    pub(crate) server_flags: Vec<String>,
    /// What the demo gives the provider besides.
    pub(crate) provider_flags: Vec<String>,
    /// A program that has to run before, and its flags; empty where there is none.
    pub(crate) needs: Vec<String>,
    /// The flags that it is compared with, once with each.
    pub(crate) contenders: Vec<String>,
}

impl Strategy {
    /// The strategy that a manifest declares, if it does.
    ///
    /// # Errors
    /// A declaration without a name or a binary, with a key that nobody knows, or with a value of
    /// another type than its key has.
    pub(crate) fn declared(manifest: &Manifest) -> Result<Option<Self>> {
        let Some(entry) = manifest.value(&ENTRY) else {
            return Ok(None);
        };
        read(manifest, entry)
            .with_context(|| format!("{}: [{}]", manifest.path.display(), ENTRY.join(".")))
            .map(Some)
    }
}

fn read(manifest: &Manifest, entry: &Value) -> Result<Strategy> {
    let mut strategy = Strategy {
        package: manifest.name().to_owned(),
        ..Strategy::default()
    };
    for (key, value) in entry.as_table().context("is no table")? {
        match key.as_str() {
            "name" => strategy.name = text(key, value)?,
            "binary" => strategy.binary = text(key, value)?,
            "server-flags" => strategy.server_flags = texts(key, value)?,
            "provider-flags" => strategy.provider_flags = texts(key, value)?,
            "needs" => strategy.needs = texts(key, value)?,
            "contenders" => strategy.contenders = texts(key, value)?,
            _ => bail!(
                "there is no key `{key}`; there is: name, binary, server-flags, provider-flags, needs, \
                 contenders"
            ),
        }
    }
    for (key, value) in [("name", &strategy.name), ("binary", &strategy.binary)] {
        if value.is_empty() {
            bail!("has no {key}");
        }
    }
    Ok(strategy)
}

fn text(key: &str, value: &Value) -> Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.with_context(|| format!("{key} is no string"))
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>> {
    let texts = value
        .as_array()
        .and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let texts = texts.with_context(|| format!("{key} is no list of strings"))?;
    Ok(texts.into_iter().map(str::to_owned).collect())
}

/// The strategies that `manifests` declare.
///
/// # Errors
/// A declaration that cannot be read, and two strategies of one name.
pub(crate) fn declared(manifests: &[Manifest]) -> Result<Vec<Strategy>> {
    let mut strategies: Vec<Strategy> = Vec::new();
    for manifest in manifests {
        let Some(strategy) = Strategy::declared(manifest)? else {
            continue;
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
    manifest.value(&ENTRY).is_some()
}

/// The strategies of this workspace.
///
/// # Errors
/// Those of [`declared`], and a manifest that cannot be read.
pub(crate) fn all() -> Result<Vec<Strategy>> {
    declared(&workspace::manifests(&workspace::root())?)
}

/// The strategy of `strategies` that is called `name`.
///
/// # Errors
/// A name that none of them has; the message lists those that there are.
pub(crate) fn find(strategies: &[Strategy], name: &str) -> Result<Strategy> {
    let found = strategies.iter().find(|strategy| strategy.name == name);
    found.cloned().with_context(|| {
        let known: Vec<_> = strategies.iter().map(|known| known.name.as_str()).collect();
        format!("no such strategy; there is: {}", known.join(", "))
    })
}

/// Takes the name of a strategy from the command line, and lists the names in its help.
#[derive(Clone)]
pub(crate) struct Named;

impl TypedValueParser for Named {
    type Value = Strategy;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Strategy, clap::Error> {
        StringValueParser::new()
            // The chain, which clap would not print.
            .try_map(|name| {
                all()
                    .and_then(|strategies| find(&strategies, &name))
                    .map_err(|error| format!("{error:#}"))
            })
            .parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        // What cannot be read is told when a name is looked up.
        let strategies = all().ok()?;
        let names = strategies
            .into_iter()
            .map(|strategy| PossibleValue::new(strategy.name));
        Some(Box::new(names))
    }
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
            ..Strategy::default()
        };
        assert_eq!(declared(&manifests).unwrap(), [expected]);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let manifests = [
            strategy("actor-server", "actor"),
            strategy("keyed-server", "keyed"),
        ];
        let error = find(&declared(&manifests).unwrap(), "akka").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no such strategy; there is: actor, keyed"
        );
    }

    #[test]
    fn what_the_demo_gives_besides_is_read() {
        let manifest = manifest(
            "keyed-server",
            r#"
            [package.metadata.strategy]
            name = "keyed"
            binary = "keyed-server"
            server-flags = ["--workers", "2"]
            provider-flags = ["--data-types", "3"]
            needs = ["inference-server", "--models", "data/models"]
            contenders = ["", "--workers 2"]
            "#,
        );
        let strategy = Strategy::declared(&manifest).unwrap().unwrap();
        assert_eq!(strategy.server_flags, ["--workers", "2"]);
        assert_eq!(strategy.provider_flags, ["--data-types", "3"]);
        assert_eq!(
            strategy.needs,
            ["inference-server", "--models", "data/models"]
        );
        assert_eq!(strategy.contenders, ["", "--workers 2"]);
    }

    #[test]
    fn a_declaration_that_cannot_be_read_is_an_error_that_names_the_manifest() {
        for (entry, fault) in [
            ("name = \"x\"", "has no binary"),
            ("binary = \"x\"", "has no name"),
            ("name = 1", "name is no string"),
            (
                "server-flags = \"--workers 2\"",
                "server-flags is no list of strings",
            ),
            (
                "provider-flags = [2]",
                "provider-flags is no list of strings",
            ),
            (
                "flags = []",
                "there is no key `flags`; there is: name, binary, server-flags, provider-flags, needs, \
                 contenders",
            ),
        ] {
            let manifest = manifest(
                "keyed-server",
                &format!("[package.metadata.strategy]\n{entry}"),
            );
            let error = Strategy::declared(&manifest).unwrap_err();
            let expected =
                format!("crates/keyed-server/Cargo.toml: [package.metadata.strategy]: {fault}");
            assert_eq!(format!("{error:#}"), expected);
        }
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
        assert_eq!(
            find(&all().unwrap(), "actor").unwrap().binary,
            "actor-server"
        );
    }
}
