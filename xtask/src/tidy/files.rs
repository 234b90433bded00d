//! The files: those that must be there, and how long one may be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Problem;

/// The most lines that a source file may have.
const MOST_LINES: usize = 600;

const CHANGELOG: &str = "CHANGELOG.md";
const UNRELEASED: &str = "## [Unreleased]";

pub(super) fn check(root: &Path) -> Result<Vec<Problem>> {
    let mut problems: Vec<_> = check_changelog(root).into_iter().collect();
    for directory in ["crates", "xtask"] {
        for path in with_extension(&root.join(directory), "rs")? {
            let text = read(&path)?;
            let place = path.strip_prefix(root).unwrap_or(&path);
            problems.extend(check_length(place, &text));
        }
    }
    Ok(problems)
}

fn check_changelog(root: &Path) -> Option<Problem> {
    let text = fs::read_to_string(root.join(CHANGELOG)).unwrap_or_default();
    (!text.lines().any(|line| line == UNRELEASED)).then(|| {
        Problem::new(
            Path::new(CHANGELOG),
            format!("there is no section `{UNRELEASED}`"),
            "add it, as https://keepachangelog.com has it, and write down what changes for users",
        )
    })
}

fn check_length(place: &Path, text: &str) -> Option<Problem> {
    let lines = text.lines().count();
    (lines > MOST_LINES).then(|| {
        Problem::new(
            place,
            format!("{lines} lines, {MOST_LINES} at most"),
            "find the second thing that the file is about and give it a file of its own",
        )
    })
}

pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// The files under `directory` whose names end so, in order, but none that is hidden or that a
/// build has made.
pub(super) fn with_extension(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(directory, extension, &mut found)
        .with_context(|| format!("list the files in {}", directory.display()))?;
    found.sort();
    Ok(found)
}

fn collect(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    // Cargo marks its target directories so, wherever they are.
    if directory.join("CACHEDIR.TAG").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&path, extension, found)?;
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_600_lines_passes_and_one_more_line_fails() {
        let place = Path::new("crates/house/src/lib.rs");
        assert_eq!(check_length(place, &"//\n".repeat(600)), None);
        let problem = check_length(place, &"//\n".repeat(601)).unwrap();
        assert_eq!(problem.fault, "601 lines, 600 at most");
    }

    #[test]
    fn a_changelog_is_there_and_has_a_place_for_what_comes() {
        let root = tempfile::tempdir().unwrap();
        assert!(check_changelog(root.path()).is_some());
        fs::write(root.path().join(CHANGELOG), "# Changelog\n").unwrap();
        assert!(check_changelog(root.path()).is_some());
        fs::write(
            root.path().join(CHANGELOG),
            "# Changelog\n\n## [Unreleased]\n",
        )
        .unwrap();
        assert_eq!(check_changelog(root.path()), None);
    }

    #[test]
    fn hidden_directories_and_build_directories_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["src/inner", ".venv", "output"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for file in [
            "src/inner/a.rs",
            "src/b.rs",
            "src/c.md",
            ".venv/d.rs",
            "output/e.rs",
        ] {
            fs::write(root.path().join(file), "").unwrap();
        }
        fs::write(root.path().join("output/CACHEDIR.TAG"), "").unwrap();
        let found = with_extension(root.path(), "rs").unwrap();
        assert_eq!(
            found,
            ["src/b.rs", "src/inner/a.rs"].map(|file| root.path().join(file))
        );
    }
}
