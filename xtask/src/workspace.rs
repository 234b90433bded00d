//! The workspace as its manifests describe it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result};
use toml::{Table, Value};

/// The directory of the workspace's root manifest.
pub(crate) fn root() -> PathBuf {
    // Cargo says where it found this package; two clones may share a target directory, and then
    // what was compiled in may be the other's.
    let here = env::var_os("CARGO_MANIFEST_DIR");
    let mut root = here.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    root.pop();
    root
}

/// The directory in which cargo builds, of the workspace at `root`.
///
/// # Errors
/// Cargo cannot tell.
pub(crate) fn target_directory(root: &Path) -> Result<PathBuf> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("read what cargo metadata says")?;
    let directory = metadata
        .get("target_directory")
        .and_then(|path| path.as_str());
    Ok(directory
        .context("cargo metadata has no target_directory")?
        .into())
}

/// Which table of a manifest a dependency stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `[dependencies]`: part of what is shipped.
    Normal,
    /// `[build-dependencies]`: part of what builds it.
    Build,
    /// `[dev-dependencies]`: tests and benchmarks alone.
    Development,
}

impl Purpose {
    const ALL: [(&str, Self); 3] = [
        ("dependencies", Self::Normal),
        ("build-dependencies", Self::Build),
        ("dev-dependencies", Self::Development),
    ];
}

/// One dependency as a manifest names it.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The name it goes by in this workspace.
    pub(crate) name: String,
    pub(crate) purpose: Purpose,
    /// Whether its version comes from the workspace.
    pub(crate) inherited: bool,
}

/// A crate's manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Its path, relative to the workspace's root.
    pub(crate) path: PathBuf,
    table: Table,
}

impl Manifest {
    /// Parses the text of the manifest at `path`, which is relative to the workspace's root.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let table = text
            .parse()
            .with_context(|| format!("{} is not valid TOML", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            table,
        })
    }

    /// The package's name; of a manifest without one, the empty string.
    pub(crate) fn name(&self) -> &str {
        self.text(&["package", "name"]).unwrap_or_default()
    }

    /// Whether `[lints] workspace = true` is set.
    pub(crate) fn inherits_lints(&self) -> bool {
        self.value(&["lints", "workspace"]) == Some(&Value::Boolean(true))
    }

    /// The string at a path of keys.
    pub(crate) fn text(&self, keys: &[&str]) -> Option<&str> {
        self.value(keys)?.as_str()
    }

    /// Every dependency: of all purposes, and of all targets.
    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        let per_target = self
            .value(&["target"])
            .and_then(Value::as_table)
            .into_iter()
            .flatten();
        let holders = std::iter::once(&self.table)
            .chain(per_target.filter_map(|(_, value)| value.as_table()));
        let mut found = Vec::new();
        for holder in holders {
            for (section, purpose) in Purpose::ALL {
                let listed = holder
                    .get(section)
                    .and_then(Value::as_table)
                    .into_iter()
                    .flatten();
                found.extend(listed.map(|(name, value)| Dependency {
                    name: name.clone(),
                    purpose,
                    inherited: value.get("workspace") == Some(&Value::Boolean(true)),
                }));
            }
        }
        found
    }

    /// The names in `[workspace.dependencies]`, of the root manifest.
    pub(crate) fn shared_dependencies(&self) -> Vec<&str> {
        let shared = self
            .value(&["workspace", "dependencies"])
            .and_then(Value::as_table);
        shared
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// What there is at a path of keys.
    pub(crate) fn value(&self, keys: &[&str]) -> Option<&Value> {
        let (first, rest) = keys.split_first()?;
        rest.iter()
            .try_fold(self.table.get(*first)?, |value, key| value.get(key))
    }
}

/// The manifests of all crates of the workspace at `root`, in the order of their paths.
pub(crate) fn manifests(root: &Path) -> Result<Vec<Manifest>> {
    let crates = root.join("crates");
    let listing = fs::read_dir(&crates).with_context(|| format!("read {}", crates.display()))?;
    let mut paths = vec![PathBuf::from("xtask/Cargo.toml")];
    for entry in listing {
        let path = Path::new("crates")
            .join(entry?.file_name())
            .join("Cargo.toml");
        if root.join(&path).is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(root, path)).collect()
}

/// The root manifest of the workspace at `root`.
pub(crate) fn root_manifest(root: &Path) -> Result<Manifest> {
    read(root, Path::new("Cargo.toml"))
}

fn read(root: &Path, path: &Path) -> Result<Manifest> {
    let text =
        fs::read_to_string(root.join(path)).with_context(|| format!("read {}", path.display()))?;
    Manifest::parse(path, &text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The root manifest of a made-up workspace that shares these dependencies.
    pub(crate) fn sharing(dependencies: &str) -> Manifest {
        let text = format!("[workspace.dependencies]\n{dependencies}");
        Manifest::parse(Path::new("Cargo.toml"), &text).unwrap()
    }

    /// The manifest of a made-up crate: its name, and the tables that follow `[package]`.
    pub(crate) fn manifest(name: &str, tables: &str) -> Manifest {
        let path = Path::new("crates").join(name).join("Cargo.toml");
        Manifest::parse(&path, &format!("[package]\nname = \"{name}\"\n{tables}")).unwrap()
    }

    #[test]
    fn dependencies_of_every_purpose_and_target_are_listed() {
        let manifest = manifest(
            "house",
            r#"
            [dependencies]
            brick.workspace = true
            roof = "1"
            [build-dependencies]
            crane = { workspace = true, features = ["tall"] }
            [target.'cfg(unix)'.dev-dependencies]
            inspector = { path = "../inspector" }
            "#,
        );
        let listed: Vec<_> = manifest
            .dependencies()
            .into_iter()
            .map(|dependency| (dependency.name, dependency.purpose, dependency.inherited))
            .collect();
        assert_eq!(
            listed,
            [
                ("brick".to_owned(), Purpose::Normal, true),
                ("roof".to_owned(), Purpose::Normal, false),
                ("crane".to_owned(), Purpose::Build, true),
                ("inspector".to_owned(), Purpose::Development, false),
            ]
        );
    }

    #[test]
    fn a_manifest_that_is_no_toml_is_named() {
        let error = Manifest::parse(Path::new("crates/house/Cargo.toml"), "[package").unwrap_err();
        assert_eq!(
            error.to_string(),
            "crates/house/Cargo.toml is not valid TOML"
        );
    }

    #[test]
    fn this_crate_is_among_the_manifests() {
        let manifests = manifests(&root()).unwrap();
        assert!(
            manifests
                .iter()
                .any(|manifest| manifest.name() == env!("CARGO_PKG_NAME"))
        );
    }
}
