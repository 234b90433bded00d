use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;

/// A web server that answers in the words of the test, valid or not.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    /// `answer` is given the stream, the target of the request, and how many came before.
    fn start(answer: impl Fn(&mut TcpStream, &str, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer);
        let counted = Arc::clone(&requests);
        // Both kinds of threads end with the process: a connection may be one that is kept waiting.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, counted) = (Arc::clone(&answer), Arc::clone(&counted));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if let Some(target) = target(&mut stream) {
                        let before = counted.fetch_add(1, Ordering::SeqCst);
                        answer(&mut stream, &target, before);
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Locations of which this server's `/models` is the only root.
    fn locations(&self) -> Locations {
        locations(&[&self.url("/models")])
    }

    fn fetch(&self, path: &str) -> Result<Content, FetchError> {
        fetch(&self.locations(), &self.url(path))
    }
}

/// What a request asks for, once its head is there.
fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}

/// The client may be gone by the time it is answered.
fn say(stream: &mut TcpStream, answer: &str) -> bool {
    stream.write_all(answer.as_bytes()).is_ok()
}

fn ok(stream: &mut TcpStream, body: &str) -> bool {
    let length = body.len();
    say(
        stream,
        &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"),
    )
}

fn status(stream: &mut TcpStream, status: &str, headers: &str) -> bool {
    say(
        stream,
        &format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: 5\r\nConnection: close\r\n\r\nsorry"
        ),
    )
}

fn locations(roots: &[&str]) -> Locations {
    let roots: Vec<String> = roots.iter().map(|&root| root.to_owned()).collect();
    let limits = Limits {
        size: 1000,
        // For what is to answer; generous, as test machines are busy.
        timeout: Duration::from_secs(60),
    };
    Locations::new(&roots, limits).unwrap()
}

fn hasty(locations: Locations) -> Locations {
    Locations {
        limits: Limits {
            timeout: Duration::from_millis(200),
            ..locations.limits
        },
        ..locations
    }
}

fn fetch(locations: &Locations, location: &str) -> Result<Content, FetchError> {
    locations.fetch(location, std::future::pending())
}

fn text(fetched: Result<Content, FetchError>) -> String {
    match fetched.unwrap() {
        Content::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Content::Directory(directory) => panic!("{directory:?}"),
    }
}

#[test]
fn a_file_is_fetched_with_or_without_its_length_and_with_its_query() {
    let server = Server::start(|stream, target, _| {
        match target {
            "/models/wine.pmml?signature=a%2Fb" => ok(stream, "signed"),
            "/models/a%20b" => ok(stream, "spaced"),
            "/models/chunked" => say(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            ),
            _ => status(stream, "404 Not Found", ""),
        };
    });
    assert_eq!(
        text(server.fetch("/models/wine.pmml?signature=a%2Fb")),
        "signed"
    );
    assert_eq!(text(server.fetch("/models/a%20b")), "spaced");
    assert_eq!(text(server.fetch("/models/chunked")), "abcde");
}

#[test]
fn what_is_under_no_root_is_not_even_asked_for() {
    let server = Server::start(|stream, _, _| {
        ok(stream, "secret");
    });
    for path in [
        "/models2/x",
        "/",
        "/models/../secret",
        "/models/%2e%2e/secret",
    ] {
        let error = server.fetch(path).unwrap_err();
        assert!(
            matches!(error, FetchError::Outside { .. }),
            "{path}: {error}"
        );
        assert!(!error.is_transient());
    }
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_redirect_is_followed_under_the_roots_only() {
    let elsewhere = Server::start(|stream, _, _| {
        ok(stream, "secret");
    });
    let url = elsewhere.url("/models/x");
    let server = Server::start(move |stream, target, before| {
        let location = match target {
            "/models/old" => "new?signature=1",
            "/models/new?signature=1" => {
                ok(stream, "moved");
                return;
            }
            "/models/elsewhere" => &url,
            "/models/scheme" => "https://127.0.0.1/models/x",
            "/models/file" => "file:///etc/passwd",
            "/models/link-local" => "http://169.254.169.254/latest/meta-data/",
            "/models/mapped" => "http://[::ffff:a9fe:a9fe]/",
            "/models/number" => "http://2852039166/",
            "/models/out" => "../secret",
            "/models/hidden" => "/models/..%2fsecret",
            "/models/user" => "http://user:secret@127.0.0.1/models/x",
            _ => "circle",
        };
        let statuses = [
            "301 Moved Permanently",
            "302 Found",
            "303 See Other",
            "307 Temporary Redirect",
        ];
        status(
            stream,
            statuses[before % 4],
            &format!("Location: {location}\r\n"),
        );
    });
    assert_eq!(text(server.fetch("/models/old")), "moved");
    for (path, reason) in [
        ("elsewhere", "under no root"),
        ("scheme", "its scheme is not http"),
        ("file", "its scheme is not http"),
        ("link-local", "link-local"),
        ("mapped", "link-local"),
        ("number", "link-local"),
        ("out", "under no root"),
        ("hidden", "leads elsewhere"),
        ("user", "credentials"),
        ("circle", "in a row"),
    ] {
        let error = server.fetch(&format!("/models/{path}")).unwrap_err();
        assert!(
            matches!(error, FetchError::Redirect { .. }),
            "{path}: {error}"
        );
        let said = error.to_string();
        assert!(
            said.contains(reason) && !said.contains("user:secret"),
            "{path}: {said}"
        );
        assert!(!error.is_transient());
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn link_local_addresses_are_refused_whatever_the_roots_say() {
    for host in [
        "169.254.169.254",
        "169.254.0.1",
        "2852039166",
        "0xa9.0xfe.0xa9.0xfe",
        "[fe80::1]",
        "[febf::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "100.100.100.200",
    ] {
        let root = format!("http://{host}/");
        let error = fetch(&locations(&[&root]), &format!("{root}x")).unwrap_err();
        assert!(
            matches!(error, FetchError::Address { .. }),
            "{host}: {error}"
        );
        assert!(!error.is_transient());
    }
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.253.255.255",
        "192.168.1.1",
        "::1",
        "2001:db8::1",
    ] {
        assert!(!guard::is_forbidden(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn too_much_is_refused_before_or_while_it_is_read() {
    let server = Server::start(|stream, target, _| match target {
        "/models/announced" | "/models/absurd" => {
            let length = if target.ends_with("absurd") {
                "99999999999999999999999"
            } else {
                "10737418240"
            };
            say(
                stream,
                &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
            );
            // Whoever waits for a byte of it waits for the client to go.
            let _ = stream.read(&mut [0]);
        }
        "/models/complaint" => {
            say(
                stream,
                "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n",
            );
            while say(stream, &"x".repeat(65536)) {}
        }
        _ => {
            say(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while say(stream, &"x".repeat(65536)) {}
        }
    });
    for path in ["/models/announced", "/models/endless"] {
        let error = server.fetch(path).unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge { limit: 1000, .. }),
            "{path}: {error}"
        );
        assert!(!error.is_transient());
    }
    assert!(server.fetch("/models/absurd").is_err());
    let error = server.fetch("/models/complaint").unwrap_err();
    assert!(matches!(error, FetchError::NotFound(_)), "{error}");
}

#[test]
fn what_fails_once_or_breaks_off_is_asked_for_again() {
    let server = Server::start(|stream, target, before| {
        match (target, before) {
            ("/models/500", 0) => status(stream, "500 Internal Server Error", ""),
            ("/models/429", 0) => status(stream, "429 Too Many Requests", ""),
            ("/models/half", 0) => say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            ("/models/nothing", 0) => true,
            _ => ok(stream, "whole"),
        };
    });
    let locations = server.locations();
    for path in [
        "/models/500",
        "/models/429",
        "/models/half",
        "/models/nothing",
    ] {
        server.requests.store(0, Ordering::SeqCst);
        assert_eq!(
            text(fetch(&locations, &server.url(path))),
            "whole",
            "{path}"
        );
        assert_eq!(server.requests(), 2, "{path}");
    }
}

#[test]
fn what_may_be_better_another_time_is_told_from_what_stays() {
    let server = Server::start(|stream, target, _| {
        match target {
            "/models/503" => status(stream, "503 Service Unavailable", ""),
            "/models/429" => status(stream, "429 Too Many Requests", ""),
            "/models/half" => say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            "/models/401" => status(stream, "401 Unauthorized", ""),
            "/models/403" => status(stream, "403 Forbidden", ""),
            "/models/400" => status(stream, "400 Bad Request", ""),
            "/models/501" => status(stream, "501 Not Implemented", ""),
            "/models/304" => say(stream, "HTTP/1.1 304 Not Modified\r\n\r\n"),
            "/models/nowhere" => status(stream, "302 Found", ""),
            "/models/no-http" => say(stream, "SSH-2.0-OpenSSH_9.9\r\n"),
            _ => status(stream, "404 Not Found", ""),
        };
    });
    for (path, transient, said) in [
        ("503", true, "503: sorry"),
        ("429", true, "429"),
        ("half", true, ""),
        ("401", false, "may not be read"),
        ("403", false, "403: sorry"),
        ("404", false, "nothing at"),
        ("400", false, "400: sorry"),
        ("501", false, "501: sorry"),
        ("304", false, ""),
        ("nowhere", false, "302"),
    ] {
        let error = server.fetch(&format!("/models/{path}")).unwrap_err();
        assert_eq!(error.is_transient(), transient, "{path}: {error}");
        assert!(error.to_string().contains(said), "{path}: {error}");
    }
    assert!(server.fetch("/models/no-http").is_err());
    // Nobody listens where somebody did.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let root = format!("http://{}/", gone.local_addr().unwrap());
    drop(gone);
    let error = fetch(&locations(&[&root]), &root).unwrap_err();
    assert!(
        error.is_transient() && error.to_string().contains("refused"),
        "{error}"
    );
}

#[test]
fn fetching_ends_with_its_time_or_when_it_is_told_to() {
    let server = Server::start(|stream, _, _| {
        say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow");
        let _ = stream.read(&mut [0]);
    });
    let url = server.url("/models/slow");
    let error = fetch(&hasty(server.locations()), &url).unwrap_err();
    assert!(
        matches!(error, FetchError::TimedOut(_)) && error.is_transient(),
        "{error}"
    );
    let started = Instant::now();
    let told = server.locations().fetch(&url, std::future::ready(()));
    assert!(matches!(told, Err(FetchError::Interrupted)), "{told:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_directory_comes_whole_or_not_at_all() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path().canonicalize().unwrap();
    let model = place.join("models/wine/1");
    std::fs::create_dir_all(model.join("variables")).unwrap();
    std::fs::write(model.join("saved_model.pb"), "graph").unwrap();
    std::fs::write(model.join("variables/variables.index"), "index").unwrap();
    let locations = locations(&[place.join("models").to_str().unwrap()]);
    let fetch = || fetch(&locations, model.to_str().unwrap());
    let Content::Directory(directory) = fetch().unwrap() else {
        panic!("a directory");
    };
    let files: Vec<_> = directory.files().collect();
    assert_eq!(
        files,
        [
            ("saved_model.pb", &b"graph"[..]),
            ("variables/variables.index", b"index")
        ]
    );
    // Too large, together.
    std::fs::write(model.join("assets"), "x".repeat(991)).unwrap();
    assert!(matches!(fetch(), Err(FetchError::TooLarge { .. })));
    std::fs::remove_file(model.join("assets")).unwrap();
    // A way out.
    std::fs::write(place.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(place.join("secret"), model.join("assets")).unwrap();
    assert!(matches!(fetch(), Err(FetchError::Outside { .. })));
    std::fs::remove_file(model.join("assets")).unwrap();
    // A circle.
    std::os::unix::fs::symlink(&model, model.join("again")).unwrap();
    assert!(matches!(fetch(), Err(FetchError::TooLarge { .. })));
    std::fs::remove_file(model.join("again")).unwrap();
    // What is no file would block, or never end.
    let _socket = std::os::unix::net::UnixListener::bind(model.join("socket")).unwrap();
    assert!(matches!(fetch(), Err(FetchError::Failed(_))));
    let zeros = self::locations(&["/dev"]);
    assert!(matches!(
        self::fetch(&zeros, "/dev/zero"),
        Err(FetchError::Failed(_))
    ));
}

/// Stores that the environment names, or their stand-ins: `STORE_LOCATIONS` are locations that hold
/// what is in `data/models/wine/1`, separated by commas. [docs/locations.md] says how to have some.
#[test]
fn a_saved_model_comes_from_a_store_as_from_the_disk() {
    let Ok(stores) = std::env::var("STORE_LOCATIONS") else {
        eprintln!("not run: STORE_LOCATIONS names no stores");
        return;
    };
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data");
    for location in stores.split(',') {
        let roots = [location.to_owned(), data.to_owned()];
        let locations = Locations::new(&roots, Limits::default()).unwrap();
        let here = fetch(&locations, &format!("{data}/models/wine/1")).unwrap();
        let there = fetch(&locations, location).unwrap();
        assert!(matches!(there, Content::Directory(_)), "{location}");
        assert_eq!(here.digest(), there.digest(), "{location}");
        let file = fetch(&locations, &format!("{location}/saved_model.pb")).unwrap();
        assert!(matches!(file, Content::Bytes(_)), "{location}");
        let missing = fetch(&locations, &format!("{location}/missing")).unwrap_err();
        assert!(
            matches!(missing, FetchError::NotFound(_)),
            "{location}: {missing}"
        );
        let limits = Limits {
            size: here.size() - 1,
            ..Limits::default()
        };
        let narrow = Locations::new(&roots, limits).unwrap();
        let error = fetch(&narrow, location).unwrap_err();
        assert!(
            matches!(error, FetchError::TooLarge { .. }),
            "{location}: {error}"
        );
    }
}
