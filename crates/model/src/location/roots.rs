use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::FetchError;
use super::address::{Address, Remote, shown};

/// Where models may come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Roots {
    roots: Vec<Address>,
}

impl Roots {
    pub(super) fn parse(roots: &[String]) -> Result<Self, FetchError> {
        let parse = |root: &String| {
            let address = Address::parse(root)?;
            if let Address::Remote(remote) = &address
                && remote.url.query().is_some()
            {
                return Err(FetchError::Syntax {
                    location: shown(root),
                    reason: "a root has no query".to_owned(),
                });
            }
            Ok(address)
        };
        let roots = roots.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { roots })
    }

    /// Whether a URL is under one of them.
    pub(super) fn allow(&self, remote: &Remote) -> bool {
        let mut remotes = self.roots.iter().filter_map(|root| match root {
            Address::Remote(root) => Some(root),
            Address::File(_) => None,
        });
        remotes.any(|root| remote.is_in(root))
    }

    pub(super) fn check(&self, remote: &Remote) -> Result<(), FetchError> {
        if self.allow(remote) {
            return Ok(());
        }
        Err(self.outside(&remote.to_string()))
    }

    /// The file or directory that a path means, with symbolic links resolved: a relative path
    /// stands in the working directory, else in a root, or beside one whose name it begins with.
    pub(super) fn look_up(&self, path: &Path) -> Result<PathBuf, FetchError> {
        let location = path.display().to_string();
        let mut candidates = vec![path.to_owned()];
        if path.is_relative() {
            for root in self.directories() {
                candidates.push(root.join(path));
                // `data/models/wine/1` of the root `.../data`.
                let mut components = path.components().skip_while(|c| *c == Component::CurDir);
                if let (Some(Component::Normal(first)), Some(name), Some(parent)) =
                    (components.next(), root.file_name(), root.parent())
                    && first == name
                {
                    candidates.push(parent.join(path));
                }
            }
        }
        let mut failure = None;
        for candidate in &candidates {
            match candidate.canonicalize() {
                Ok(found) if self.holds(&found) => return Ok(found),
                Ok(_) => {}
                Err(error) => {
                    // What is outside is not even said to be missing.
                    if self.would_hold(candidate) {
                        let error = FetchError::system(&location, &error);
                        if failure.as_ref().is_none_or(|_| error.is_transient()) {
                            failure = Some(error);
                        }
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| self.outside(&location)))
    }

    /// Whether a path whose links are resolved is under one of them.
    pub(super) fn holds(&self, path: &Path) -> bool {
        let canonical = |root: &Path| root.canonicalize().ok();
        let mut roots = self.directories().filter_map(canonical);
        roots.any(|root| path.starts_with(root))
    }

    /// Whether a path that is not there would be under one of them.
    fn would_hold(&self, path: &Path) -> bool {
        let mut path = path.to_owned();
        let Ok(full) = std::path::absolute(&path) else {
            return false;
        };
        path.clear();
        for component in full.components() {
            match component {
                Component::ParentDir => drop(path.pop()),
                component => path.push(component),
            }
        }
        let mut roots = self.directories().flat_map(|root| {
            let written = std::path::absolute(root).ok();
            root.canonicalize().ok().into_iter().chain(written)
        });
        roots.any(|root| path.starts_with(root))
    }

    fn directories(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().filter_map(|root| match root {
            Address::File(path) => Some(path.as_path()),
            Address::Remote(_) => None,
        })
    }

    pub(super) fn outside(&self, location: &str) -> FetchError {
        FetchError::Outside {
            location: shown(location),
            roots: self.to_string(),
        }
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.roots.is_empty() {
            return f.write_str("there are none");
        }
        for (number, root) in self.roots.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            match root {
                Address::File(path) => write!(f, "{comma}{}", path.display())?,
                Address::Remote(remote) => write!(f, "{comma}{remote}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
