//! The links between the project's pages: each leads to a file, and to a heading in it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::{Problem, files};

pub(super) fn check(root: &Path) -> Result<Vec<Problem>> {
    let mut pages = HashMap::new();
    for path in files::with_extension(root, "md")? {
        let page = Page::parse(&files::read(&path)?);
        pages.insert(path, page);
    }
    let mut problems = Vec::new();
    for (path, page) in &pages {
        let place = path.strip_prefix(root).unwrap_or(path);
        for link in &page.links {
            if let Err(fault) = follow(root, path, link, &pages) {
                let remedy = "correct the link, or bring back what it led to";
                problems.push(Problem::new(place, fault, remedy));
            }
        }
    }
    problems.sort_by(|one, other| (&one.place, &one.fault).cmp(&(&other.place, &other.fault)));
    Ok(problems)
}

/// Checks one link of the page at `path`; one to another site is taken as it is.
fn follow(
    root: &Path,
    path: &Path,
    link: &str,
    pages: &HashMap<PathBuf, Page>,
) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (file, heading) = match link.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (link, None),
    };
    let target = if file.is_empty() {
        path.to_owned()
    } else {
        let directory = path.parent().unwrap_or(root);
        // `canonicalize` also takes the `..` out, so that the page can be found by its path.
        directory
            .join(file)
            .canonicalize()
            .ok()
            .filter(|target| target.starts_with(root))
            .ok_or_else(|| format!("a link leads to no file of the project: {link}"))?
    };
    if let (Some(heading), Some(page)) = (heading, pages.get(&target))
        && !page.anchors.contains(heading)
    {
        return Err(format!("a link leads to no heading: {link}"));
    }
    Ok(())
}

/// What links lead from a page, and which of its headings links may lead to.
#[derive(Default)]
struct Page {
    links: Vec<String>,
    anchors: HashSet<String>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        for event in Parser::new(text) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::End(TagEnd::Heading(_)) => {
                    let name = anchor(&heading.take().unwrap_or_default());
                    page.add_anchor(&name);
                }
                _ => {}
            }
        }
        page
    }

    /// Adds the anchor of a heading; one that is taken gets a number, as GitHub has it.
    fn add_anchor(&mut self, name: &str) {
        let numbered = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|candidate| !self.anchors.contains(candidate));
        self.anchors.extend(free);
    }
}

/// The anchor that GitHub gives a heading: in lower case, spaces as hyphens, other signs dropped.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'))
        .map(|sign| if sign == ' ' { '-' } else { sign })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A project of these pages.
    fn project(pages: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in pages {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn faults(pages: &[(&str, &str)]) -> Vec<String> {
        let root = project(pages);
        let root = root.path().canonicalize().unwrap();
        check(&root)
            .unwrap()
            .into_iter()
            .map(|problem| problem.fault)
            .collect()
    }

    #[test]
    fn links_to_files_directories_headings_and_other_sites_pass() {
        let pages = [
            (
                "README.md",
                "# House\n## The `main` door\n[room](docs/room.md) [docs](docs) [door](#the-main-door) \
                 [site](https://example.org/x) [window](docs/room.md#window-1)",
            ),
            (
                "docs/room.md",
                "# Window\n# Window\n[up](../README.md#house)",
            ),
        ];
        assert_eq!(faults(&pages), [""; 0]);
    }

    #[test]
    fn a_link_to_nothing_fails() {
        let pages = [("docs/room.md", "[attic](attic.md) ![plan](../plan.png)")];
        assert_eq!(
            faults(&pages),
            [
                "a link leads to no file of the project: ../plan.png",
                "a link leads to no file of the project: attic.md",
            ]
        );
    }

    #[test]
    fn a_link_to_a_heading_that_is_not_there_fails() {
        let pages = [
            ("README.md", "# House\n[cellar](#cellar) [roof](b.md#roof)"),
            ("b.md", ""),
        ];
        assert_eq!(
            faults(&pages),
            [
                "a link leads to no heading: #cellar",
                "a link leads to no heading: b.md#roof"
            ]
        );
    }

    #[test]
    fn a_link_out_of_the_project_fails() {
        assert_eq!(
            faults(&[("README.md", "[home](/etc)")]),
            ["a link leads to no file of the project: /etc"]
        );
    }

    #[test]
    fn what_stands_in_code_is_no_link() {
        let page = "```\n[a](b.md)\n```\nand `[c](d.md)`";
        assert_eq!(faults(&[("README.md", page)]), [""; 0]);
    }
}
