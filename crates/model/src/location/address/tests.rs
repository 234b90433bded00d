use proptest::prelude::*;

use super::*;

fn remote(location: &str) -> Remote {
    match Address::parse(location) {
        Ok(Address::Remote(remote)) => remote,
        other => panic!("{location}: {other:?}"),
    }
}

fn path(location: &str) -> PathBuf {
    match Address::parse(location) {
        Ok(Address::File(path)) => path,
        other => panic!("{location}: {other:?}"),
    }
}

#[test]
fn what_has_no_scheme_is_a_path_literally() {
    for location in [
        "data/models/wine/1",
        "/models/50%25 off",
        "a:b",
        "./x?y#z",
        "C:\\models",
    ] {
        assert_eq!(path(location), PathBuf::from(location));
    }
    for (location, expected) in [
        ("file:///models/a%20b", "/models/a b"),
        ("FILE:/models/x", "/models/x"),
        ("file://localhost/models/x", "/models/x"),
        ("file:data/models/wine/1", "data/models/wine/1"),
    ] {
        assert_eq!(path(location), PathBuf::from(expected), "{location}");
    }
}

#[test]
fn what_is_no_location_is_refused_with_the_reason() {
    for (location, reason) in [
        ("", "empty"),
        ("ftp://host/x", "known: file, http"),
        ("javascript://host/x", "unknown"),
        ("file://elsewhere/x", "another host"),
        ("file:///x?y", "query"),
        ("http://", "host"),
        ("http://user@host/x", "user"),
        ("http://:secret@host/x", "user"),
        ("s3://user:secret@bucket/x", "user"),
        ("http://host/x#y", "fragment"),
        ("http://host/a//b", "empty part"),
        ("http://host/a/%2e%2e%2fb", "leads elsewhere"),
        ("http://host/a/..%5cb", "leads elsewhere"),
        ("http://host/a/%252e%252e/b", "leads elsewhere"),
        ("http://host/a/%25252e./b", "leads elsewhere"),
        ("http://host/a%2fb", "leads elsewhere"),
        ("http://host/a%00b", "control"),
        ("http://host/%ff", "UTF-8"),
        ("s3://bucket/a//b", "empty part"),
        ("s3://bucket:80/a", "port"),
        ("s3://bucket/a?versionId=1", "query"),
        ("s3://buck%2Fet/a", ""),
        ("s3:///a", ""),
        ("gs:a", ""),
    ] {
        let error = Address::parse(location).unwrap_err();
        assert!(
            matches!(error, FetchError::Syntax { .. }),
            "{location}: {error}"
        );
        assert!(error.to_string().contains(reason), "{location}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_root_holds_itself_and_what_is_below_it() {
    for (root, inside) in [
        ("http://host/models", "http://host/models"),
        ("http://host/models/", "http://host/models"),
        ("http://host/models", "http://host/models/wine/1.tar"),
        ("http://host/models", "HTTP://HOST:80/./x/../models//"),
        (
            "http://host/models",
            "http://host/%6dodels/wine?signature=abc",
        ),
        ("http://host", "http://host/anything"),
        ("http://host:8080/", "http://host:8080/anything"),
        ("https://host/models", "https://host:443/models/x"),
        ("http://127.0.0.1/", "http://2130706433/x"),
        ("s3://bucket/mod", "s3://bucket/mod/els"),
        ("S3://bucket", "s3://bucket/mod/els"),
        ("gs://bucket/a b", "gs://bucket/a%20b/c"),
    ] {
        // A slash at the end is none in the middle.
        let inside = inside.strip_suffix("//").unwrap_or(inside);
        assert!(remote(inside).is_in(&remote(root)), "{inside} in {root}");
    }
}

#[test]
fn a_root_does_not_hold_what_only_looks_like_it() {
    for (root, outside) in [
        ("s3://bucket/mod", "s3://bucket/models2"),
        ("s3://bucket/models", "s3://bucket/models2"),
        ("s3://bucket/models", "s3://bucket"),
        ("s3://bucket", "s3://bucket2/x"),
        ("s3://bucket", "s3://Bucket/x"),
        ("s3://bucket", "gs://bucket/x"),
        ("s3://bucket/models", "s3://bucket/models/../secret"),
        ("http://host/models", "http://host/models/../secret"),
        ("http://host/models", "http://host/models/%2e%2e/secret"),
        ("http://host/models", "http://host/models/.%2E/secret"),
        ("http://host/models", "http://host/models\\..\\secret"),
        ("http://host/models", "http://host/Models/x"),
        ("http://host/models", "https://host/models/x"),
        ("http://host/models", "http://host:81/models/x"),
        ("http://host/models", "http://host.evil/models/x"),
        ("http://host/models", "http://evil/host/models/x"),
        ("http://host/models", "http://evil?http://host/models"),
        ("http://host/models", "http://evil\\@host/models"),
    ] {
        let Ok(Address::Remote(outside)) = Address::parse(outside) else {
            continue;
        };
        assert!(!outside.is_in(&remote(root)), "{outside} in {root}");
    }
}

#[test]
fn messages_show_neither_queries_nor_users() {
    let shown = |location| shown(location);
    assert_eq!(shown("https://host/x?signature=secret"), "https://host/x");
    assert_eq!(shown("https://me:secret@host/x"), "https://...@host/x");
    assert_eq!(
        remote("https://host/x?signature=secret").to_string(),
        "https://host/x"
    );
    assert_eq!(shown(&"x".repeat(1000)).len(), 300);
}

proptest! {
    #[test]
    fn no_location_panics(location in "\\PC{0,60}") {
        let _ = Address::parse(&location);
    }

    #[test]
    fn what_is_under_a_root_stays_there_when_it_is_decoded(
        tail in "(\\.|%2e|%2E|%252e|/|\\\\|%2f|%5c|a|%61|;|\\?|#){0,12}"
    ) {
        let location = format!("http://host/models/{tail}");
        if let Ok(Address::Remote(found)) = Address::parse(&location)
            && found.is_in(&remote("http://host/models"))
        {
            // As careless a server as there is: decodes until nothing changes, then resolves.
            let mut path = found.url.path().to_owned();
            loop {
                let next = percent_decode_str(&path).decode_utf8_lossy().replace('\\', "/");
                if next == path { break; }
                path = next;
            }
            let mut resolved: Vec<&str> = Vec::new();
            for part in path.split('/') {
                match part {
                    "" | "." => {}
                    ".." => drop(resolved.pop()),
                    part => resolved.push(part),
                }
            }
            prop_assert_eq!(resolved.first().copied(), Some("models"), "{}", location);
        }
    }
}
