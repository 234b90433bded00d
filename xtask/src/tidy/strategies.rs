//! What a strategy is to have: an entry that can be read, and the scenarios of every strategy.

use std::path::Path;

use super::Problem;
use crate::strategies::{self, SCENARIOS, Strategy};
use crate::workspace::Manifest;

/// Checks the manifests of the workspace at `root`.
pub(super) fn check(root: &Path, manifests: &[Manifest]) -> Vec<Problem> {
    manifests
        .iter()
        .filter(|manifest| strategies::declares(manifest))
        .flat_map(|manifest| {
            let declaration = check_declaration(manifest);
            declaration
                .into_iter()
                .chain(check_scenarios(root, manifest))
        })
        .collect()
}

fn check_declaration(manifest: &Manifest) -> Option<Problem> {
    let error = Strategy::declared(manifest).err()?;
    Some(Problem::new(
        &manifest.path,
        error.root_cause().to_string(),
        "write [package.metadata.strategy] as the head of xtask/src/strategies.rs has it",
    ))
}

fn check_scenarios(root: &Path, manifest: &Manifest) -> Option<Problem> {
    let tests = root.join(&manifest.path).with_file_name("tests");
    let there = tests.join(SCENARIOS).with_extension("rs").is_file()
        || tests.join(SCENARIOS).join("main.rs").is_file();
    (!there).then(|| {
        Problem::new(
            &manifest.path,
            "the strategy does not run the scenarios of every strategy",
            format!("run serving::conformance in tests/{SCENARIOS}.rs"),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace::tests::manifest;

    #[test]
    fn a_strategy_with_a_key_that_nobody_knows_and_without_scenarios_fails() {
        let root = tempfile::tempdir().unwrap();
        let house = manifest(
            "house",
            "[package.metadata.strategy]\nname = \"house\"\nbinary = \"house\"\ndoor = \"red\"",
        );
        let faults: Vec<_> = check(root.path(), &[house])
            .into_iter()
            .map(|problem| problem.fault)
            .collect();
        assert_eq!(
            faults,
            [
                "there is no key `door`; there is: name, binary, server-flags, provider-flags, needs, \
                 contenders",
                "the strategy does not run the scenarios of every strategy",
            ]
        );
    }

    #[test]
    fn a_strategy_with_its_scenarios_passes_and_so_does_what_is_none() {
        let root = tempfile::tempdir().unwrap();
        let tests = root.path().join("crates/house/tests");
        fs::create_dir_all(&tests).unwrap();
        fs::write(tests.join("scenarios.rs"), "").unwrap();
        let house = manifest(
            "house",
            "[package.metadata.strategy]\nname = \"house\"\nbinary = \"house\"",
        );
        assert_eq!(check(root.path(), &[house, manifest("shed", "")]), []);
    }
}
