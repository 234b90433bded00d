//! What every manifest has in common: the workspace's lints, and the workspace's versions.

use super::Problem;
use crate::workspace::Manifest;

/// Checks the root manifest, and those of the crates.
pub(super) fn check(root: &Manifest, crates: &[Manifest]) -> Vec<Problem> {
    let mut problems = check_shared(root, crates);
    problems.extend(crates.iter().flat_map(check_one));
    problems
}

fn check_shared(root: &Manifest, crates: &[Manifest]) -> Vec<Problem> {
    let used: Vec<_> = crates.iter().flat_map(Manifest::dependencies).collect();
    root.shared_dependencies()
        .into_iter()
        .filter(|name| used.iter().all(|dependency| dependency.name != *name))
        .map(|name| {
            Problem::new(
                &root.path,
                format!("no crate uses `{name}`"),
                "take it out of [workspace.dependencies]",
            )
        })
        .collect()
}

fn check_one(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let directory = manifest
        .path
        .parent()
        .and_then(|directory| directory.file_name());
    if directory.is_none_or(|directory| directory != manifest.name()) {
        problems.push(Problem::new(
            &manifest.path,
            format!(
                "the package is called `{}`, its directory is not",
                manifest.name()
            ),
            "give both the same name",
        ));
    }
    if !manifest.inherits_lints() {
        problems.push(Problem::new(
            &manifest.path,
            "the workspace's lints are not in force",
            "add a table [lints] with `workspace = true`",
        ));
    }
    for dependency in manifest
        .dependencies()
        .iter()
        .filter(|dependency| !dependency.inherited)
    {
        let name = &dependency.name;
        problems.push(Problem::new(
            &manifest.path,
            format!("`{name}` does not come from the workspace"),
            format!(
                "name it in [workspace.dependencies] of the root manifest, and write \
                 `{name}.workspace = true` here"
            ),
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::{manifest, sharing};

    fn faults(manifest: &Manifest) -> Vec<String> {
        check_one(manifest)
            .into_iter()
            .map(|problem| problem.fault)
            .collect()
    }

    #[test]
    fn lints_and_versions_of_the_workspace_pass() {
        let house = manifest(
            "house",
            "[lints]\nworkspace = true\n\
             [dependencies]\nbrick.workspace = true\n\
             [dev-dependencies]\ncrane = { workspace = true, features = [\"tall\"] }",
        );
        assert_eq!(faults(&house), [""; 0]);
    }

    #[test]
    fn lints_of_a_crate_s_own_fail() {
        let house = manifest("house", "[lints.rust]\nunsafe_code = \"allow\"");
        assert_eq!(faults(&house), ["the workspace's lints are not in force"]);
    }

    #[test]
    fn a_version_of_a_crate_s_own_fails_whatever_it_is_for() {
        let house = manifest(
            "house",
            "[lints]\nworkspace = true\n\
             [dependencies]\nbrick = \"1\"\n\
             [build-dependencies]\ncrane = { path = \"../crane\" }\n\
             [target.'cfg(unix)'.dev-dependencies]\nroof = { version = \"2\" }",
        );
        assert_eq!(
            faults(&house),
            [
                "`brick` does not come from the workspace",
                "`crane` does not come from the workspace",
                "`roof` does not come from the workspace",
            ]
        );
    }

    #[test]
    fn a_directory_of_another_name_fails() {
        let text = "[package]\nname = \"house\"\n[lints]\nworkspace = true";
        let house = Manifest::parse("crates/home/Cargo.toml".as_ref(), text).unwrap();
        assert_eq!(
            faults(&house),
            ["the package is called `house`, its directory is not"]
        );
    }

    #[test]
    fn a_version_that_no_crate_uses_fails() {
        let root = sharing("brick = \"1\"\nroof = { version = \"2\" }\ncrane = \"3\"");
        let house = manifest(
            "house",
            "[dependencies]\nbrick.workspace = true\n[dev-dependencies]\ncrane.workspace = true",
        );
        let problems = check_shared(&root, &[house]);
        let faults: Vec<_> = problems.into_iter().map(|problem| problem.fault).collect();
        assert_eq!(faults, ["no crate uses `roof`"]);
    }
}
