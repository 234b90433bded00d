use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::FetchError;

/// A location that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Of the file system; as it was written, not looked up.
    File(PathBuf),
    /// Of a store or a server.
    Remote(Remote),
}

/// A URL whose parts are what they seem: nothing in it leads elsewhere when somebody decodes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) scheme: Scheme,
    /// With dot segments resolved; for http and https, the host in lower case.
    pub(super) url: Url,
    /// The segments of the path, decoded; a slash at the end is left out.
    pub(super) segments: Vec<String>,
}

/// What is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
    S3,
    Gs,
    Az,
}

impl Scheme {
    const ALL: [(&'static str, Self); 5] = [
        ("http", Self::Http),
        ("https", Self::Https),
        ("s3", Self::S3),
        ("gs", Self::Gs),
        ("az", Self::Az),
    ];

    pub(super) fn is_web(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl Address {
    /// Takes a location apart. What has no scheme is a path, literally.
    pub(super) fn parse(location: &str) -> Result<Self, FetchError> {
        let syntax = |reason: &str| FetchError::Syntax {
            location: shown(location),
            reason: reason.to_owned(),
        };
        if location.is_empty() {
            return Err(syntax("it is empty"));
        }
        let Some((scheme, rest)) = scheme(location) else {
            return Ok(Self::File(location.into()));
        };
        if scheme == "file" {
            return file(rest).map(Self::File).map_err(syntax);
        }
        let Some((_, scheme)) = Scheme::ALL.iter().find(|(name, _)| *name == scheme) else {
            if rest.starts_with("//") {
                let known = Scheme::ALL.map(|(name, _)| name).join(", ");
                return Err(syntax(&format!(
                    "the scheme `{scheme}` is unknown; known: file, {known}, or a plain path"
                )));
            }
            // A file may have a colon in its name.
            return Ok(Self::File(location.into()));
        };
        Remote::parse(*scheme, location)
            .map(Self::Remote)
            .map_err(|reason| syntax(&reason))
    }
}

/// The scheme in lower case (RFC 3986, 3.1), and what follows its colon.
fn scheme(location: &str) -> Option<(String, &str)> {
    let (scheme, rest) = location.split_once(':')?;
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let goes_on = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (begins && scheme.chars().all(goes_on)).then(|| (scheme.to_ascii_lowercase(), rest))
}

/// The path of a file URL (RFC 8089), which may be relative, as people write it.
fn file(rest: &str) -> Result<PathBuf, &'static str> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(authority) => {
            let (host, _) = authority.split_once('/').ok_or("it has no path")?;
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err("a file of another host cannot be had");
            }
            authority.get(host.len()..).unwrap_or_default()
        }
    };
    if path.is_empty() {
        return Err("it has no path");
    }
    if path.contains(['?', '#']) {
        return Err("a file has neither query nor fragment: write ? as %3F and # as %23");
    }
    Ok(OsString::from_vec(percent_decode_str(path).collect()).into())
}

impl Remote {
    fn parse(scheme: Scheme, location: &str) -> Result<Self, String> {
        let url = Url::parse(location).map_err(|error| error.to_string())?;
        Self::of(scheme, url)
    }

    /// What a server redirects to.
    pub(super) fn target(url: Url) -> Result<Self, String> {
        let scheme = Scheme::ALL.iter().find(|(name, _)| *name == url.scheme());
        let (_, scheme) = scheme.ok_or_else(|| format!("`{}` is not spoken", url.scheme()))?;
        Self::of(*scheme, url)
    }

    fn of(scheme: Scheme, url: Url) -> Result<Self, String> {
        let host = match url.host() {
            None => return Err("it names no host, or bucket".to_owned()),
            Some(Host::Domain(host)) => host.to_owned(),
            Some(host) => host.to_string(),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user in it: credentials come from the environment".to_owned());
        }
        if url.fragment().is_some() {
            return Err("it has a fragment".to_owned());
        }
        if !scheme.is_web() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if !host.chars().all(plain) {
                return Err(format!("`{host}` is no name of a bucket"));
            }
            if url.port().is_some() || url.query().is_some() {
                return Err("a bucket has neither port nor query".to_owned());
            }
        }
        let segments = segments(url.path())?;
        Ok(Self {
            scheme,
            url,
            segments,
        })
    }

    /// Whether it is a server on this machine.
    pub(super) fn is_here(&self) -> bool {
        self.scheme.is_web()
            && match self.url.host() {
                Some(Host::Domain(name)) => name == "localhost",
                Some(Host::Ipv4(address)) => address.is_loopback(),
                Some(Host::Ipv6(address)) => address.is_loopback(),
                None => false,
            }
    }

    /// Whether this is `other`, or in it: the same scheme, host and port, and all of its segments.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.url.host_str() == other.url.host_str()
            && self.url.port_or_known_default() == other.url.port_or_known_default()
            && self.segments.starts_with(&other.segments)
    }
}

/// The segments of a path, decoded. The URL's own dot segments are gone by now; what a server
/// could take for one, or for a slash, after decoding as often as it likes, is refused.
fn segments(path: &str) -> Result<Vec<String>, String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Result<String, String> {
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded
            .map(String::from)
            .map_err(|_| format!("the part `{raw}` of its path is not UTF-8"))
    };
    let decoded = decode(raw)?;
    let mut text = decoded.clone();
    loop {
        if text.is_empty() {
            return Err("its path has an empty part".to_owned());
        }
        if text == "." || text == ".." || text.contains(['/', '\\']) {
            return Err(format!("the part `{raw}` of its path leads elsewhere"));
        }
        if text.chars().any(char::is_control) {
            return Err(format!(
                "the part `{raw}` of its path has a control character"
            ));
        }
        // Each turn makes it shorter, or is the last.
        let next = decode(&text)?;
        if next == text {
            return Ok(decoded);
        }
        text = next;
    }
}

/// Without the query, which may be a signature.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        url.set_query(None);
        f.write_str(url.as_str())
    }
}

/// A location as messages show it: without query or user, which may be secrets, and not endless.
pub(super) fn shown(location: &str) -> String {
    const LONGEST: usize = 300;
    if !location.contains("//") {
        return location.chars().take(LONGEST).collect();
    }
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let (location, _) = location.split_at(end);
    let user = location.split_once("//").and_then(|(scheme, rest)| {
        let host = rest.split('/').next()?;
        let (_, host) = host.rsplit_once('@')?;
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        Some(format!("{scheme}//...@{host}/{path}"))
    });
    let location = user.unwrap_or_else(|| location.to_owned());
    location.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
