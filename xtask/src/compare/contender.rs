//! What is compared: the floor, and strategies, each with flags of its own.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::binaries::Binary;
use crate::strategies::{self, Strategy};

/// The program that does all that a strategy does with Kafka, and scores nothing.
pub(super) const FLOOR: Binary<'static> = Binary {
    package: "client",
    name: "passthrough",
};

/// A strategy as the command line names it: `NAME`, or `NAME:FLAGS` with flags for its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    name: String,
    flags: Vec<String>,
}

impl FromStr for Wanted {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, flags) = text.split_once(':').unwrap_or((text, ""));
        if name.is_empty() {
            bail!("it has the form NAME or NAME:FLAGS");
        }
        Ok(Self {
            name: name.to_owned(),
            flags: flags.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

/// One that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contender {
    /// The name, and the flags where it has some.
    pub(super) label: String,
    pub(super) package: String,
    pub(super) binary: String,
    pub(super) flags: Vec<String>,
    /// A program that has to run before, and its flags.
    pub(super) needs: Vec<String>,
    pub(super) floor: bool,
}

impl Contender {
    fn floor() -> Self {
        Self {
            label: "floor".to_owned(),
            package: FLOOR.package.to_owned(),
            binary: FLOOR.name.to_owned(),
            flags: Vec::new(),
            needs: Vec::new(),
            floor: true,
        }
    }

    fn strategy(strategy: Strategy, flags: &[String]) -> Self {
        let mut label = strategy.name;
        for flag in flags {
            label.push(' ');
            label.push_str(flag);
        }
        Self {
            label,
            package: strategy.package,
            binary: strategy.binary,
            flags: flags.to_vec(),
            needs: strategy.needs,
            floor: false,
        }
    }

    pub(super) fn program(&self) -> Binary<'_> {
        Binary {
            package: &self.package,
            name: &self.binary,
        }
    }
}

/// The floor, then the strategies that are wanted; all where none is named.
///
/// # Errors
/// A strategy that there is not, or one that is wanted twice in the same way.
pub(super) fn contenders(strategies: &[Strategy], wanted: &[Wanted]) -> Result<Vec<Contender>> {
    let mut contenders = vec![Contender::floor()];
    if wanted.is_empty() {
        for strategy in strategies {
            if strategy.contenders.is_empty() {
                contenders.push(Contender::strategy(strategy.clone(), &[]));
            }
            for flags in &strategy.contenders {
                let flags: Vec<_> = flags.split_whitespace().map(str::to_owned).collect();
                contenders.push(Contender::strategy(strategy.clone(), &flags));
            }
        }
    }
    for Wanted { name, flags } in wanted {
        let strategy =
            strategies::find(strategies, name).with_context(|| format!("--strategies {name}"))?;
        let contender = Contender::strategy(strategy, flags);
        if contenders.contains(&contender) {
            bail!("--strategies has `{}` twice", contender.label);
        }
        contenders.push(contender);
    }
    Ok(contenders)
}

/// The order in which `count` contenders take their turns in a round: each round begins with another
/// one, so that nobody is always first, or always behind the same.
pub(super) fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + round) % count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strategies() -> Vec<Strategy> {
        let strategy = |name: &str| Strategy {
            name: name.to_owned(),
            package: format!("{name}-server"),
            binary: format!("{name}-server"),
            server_flags: vec!["--only-for".to_owned(), "the-demo".to_owned()],
            ..Strategy::default()
        };
        vec![strategy("actor"), strategy("keyed")]
    }

    fn labels(wanted: &[&str]) -> Result<Vec<String>> {
        let wanted: Result<Vec<Wanted>> = wanted.iter().map(|text| text.parse()).collect();
        let contenders = contenders(&strategies(), &wanted?)?;
        Ok(contenders.into_iter().map(|one| one.label).collect())
    }

    #[test]
    fn every_strategy_takes_part_without_what_only_the_demo_gives_it() {
        let contenders = contenders(&strategies(), &[]).unwrap();
        let labels: Vec<_> = contenders.iter().map(|one| one.label.as_str()).collect();
        assert_eq!(labels, ["floor", "actor", "keyed"]);
        assert!(contenders.iter().all(|one| one.flags.is_empty()));
    }

    #[test]
    fn the_floor_is_there_whoever_is_wanted() {
        assert_eq!(labels(&["keyed"]).unwrap(), ["floor", "keyed"]);
    }

    #[test]
    fn a_strategy_takes_part_several_times_with_other_flags() {
        assert_eq!(
            labels(&["keyed", "keyed:--workers 2"]).unwrap(),
            ["floor", "keyed", "keyed --workers 2"]
        );
    }

    #[test]
    fn a_strategy_that_there_is_not_and_one_that_is_there_twice_are_refused() {
        let error = labels(&["akka"]).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "--strategies akka: no such strategy; there is: actor, keyed"
        );
        let error = labels(&["actor", "actor"]).unwrap_err();
        assert_eq!(error.to_string(), "--strategies has `actor` twice");
        assert!(":--workers 2".parse::<Wanted>().is_err());
    }

    #[test]
    fn each_round_has_everybody_and_begins_with_another() {
        let orders: Vec<Vec<_>> = (0..4).map(|round| order(3, round).collect()).collect();
        assert_eq!(orders, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
    }
}
