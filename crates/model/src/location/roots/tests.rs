use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn roots(root: &Path) -> Roots {
    Roots::parse(&[root.to_str().unwrap().to_owned()]).unwrap()
}

#[test]
fn a_path_is_compared_after_its_links_are_resolved() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().canonicalize().unwrap();
    for directory in ["models/wine", "models2", "secret"] {
        fs::create_dir_all(place.join(directory)).unwrap();
        fs::write(place.join(directory).join("x"), "x").unwrap();
    }
    symlink(place.join("secret"), place.join("models/way-out")).unwrap();
    symlink(place.join("models/wine"), place.join("way-in")).unwrap();
    let roots = roots(&place.join("models"));
    let look_up = |path: &str| roots.look_up(&place.join(path));
    for inside in [
        "models/wine/x",
        "models/../models/wine/x",
        "way-in/x",
        "models//wine/./x",
    ] {
        assert_eq!(
            look_up(inside).unwrap(),
            place.join("models/wine/x"),
            "{inside}"
        );
    }
    for outside in [
        "models2/x",
        "secret/x",
        "models/../secret/x",
        "models/way-out/x",
        "way-in/../../secret/x",
        "secret/not there",
        "models/../not there",
    ] {
        let error = look_up(outside).unwrap_err();
        assert!(
            matches!(error, FetchError::Outside { .. }),
            "{outside}: {error}"
        );
    }
    let error = look_up("models/not there").unwrap_err();
    assert!(matches!(error, FetchError::NotFound(_)), "{error}");
}

#[test]
fn a_root_may_be_a_link_and_a_file_and_may_come_later() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().canonicalize().unwrap();
    let roots = roots(&place.join("link"));
    let error = roots.look_up(&place.join("link/x")).unwrap_err();
    assert!(matches!(error, FetchError::NotFound(_)), "{error}");
    fs::create_dir(place.join("real")).unwrap();
    fs::write(place.join("real/x"), "x").unwrap();
    symlink(place.join("real"), place.join("link")).unwrap();
    assert_eq!(
        roots.look_up(&place.join("link/x")).unwrap(),
        place.join("real/x")
    );
    let file = self::roots(&place.join("real/x"));
    assert!(file.look_up(&place.join("real/x")).is_ok());
    assert!(file.look_up(&place.join("real")).is_err());
}

#[test]
fn a_relative_path_stands_in_a_root_or_begins_with_its_name() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().canonicalize().unwrap();
    fs::create_dir_all(place.join("data/models/wine/1")).unwrap();
    let roots = roots(&place.join("data"));
    for path in [
        "models/wine/1",
        "data/models/wine/1",
        "./data/models/wine/1",
    ] {
        let found = roots.look_up(Path::new(path));
        assert_eq!(found.unwrap(), place.join("data/models/wine/1"), "{path}");
    }
    fs::write(place.join("secret"), "x").unwrap();
    let error = roots.look_up(Path::new("../secret")).unwrap_err();
    assert!(
        matches!(error, FetchError::Outside { .. } | FetchError::NotFound(_)),
        "{error}"
    );
}

#[test]
fn without_roots_nothing_is_allowed() {
    let error = Roots::default().look_up(Path::new("/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`/` is not under a root that models may come from (there are none)"
    );
    let query = Roots::parse(&["http://host/?x".to_owned()]).unwrap_err();
    assert!(query.to_string().contains("no query"), "{query}");
}
