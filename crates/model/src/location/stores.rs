//! Models in object stores and on web servers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpError;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, Error, ObjectStore, ObjectStoreExt as _, RetryConfig};
use tensor::Directory;

use super::address::{Remote, Scheme};
use super::guard::{Complaint, Guard};
use super::{FetchError, MOST_FILES};
use crate::Content;

/// Fetches a file; or, from a store that has directories, all files of one.
pub(super) async fn fetch(
    remote: &Remote,
    guard: Guard,
    timeout: Duration,
) -> Result<Content, FetchError> {
    let complaint = Arc::clone(&guard.complaint);
    let failed = |error: Error| {
        let complaint = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        classify(&error, complaint.as_ref(), &remote.to_string())
    };
    let limit = guard.limit;
    let store = open(remote, guard, timeout).map_err(failed)?;
    if remote.scheme.is_web() {
        // The whole URL is the base: what follows `?` belongs to it.
        let bytes = get(&*store, &Path::default()).await.map_err(failed)?;
        return Ok(Content::Bytes(bytes));
    }
    let path = Path::parse(remote.segments.join("/")).map_err(|error| FetchError::Syntax {
        location: remote.to_string(),
        reason: error.to_string(),
    })?;
    match from_store(&*store, &path, limit, &failed).await? {
        Some(content) => Ok(content),
        None => Err(FetchError::NotFound(remote.to_string())),
    }
}

/// The object of this path, or all objects below it as a directory.
async fn from_store(
    store: &dyn ObjectStore,
    path: &Path,
    limit: u64,
    failed: &impl Fn(Error) -> FetchError,
) -> Result<Option<Content>, FetchError> {
    if !path.as_ref().is_empty() {
        match get(store, path).await {
            // Some stores mark a directory by an object of nothing.
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => return Ok(Some(Content::Bytes(bytes))),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let directory = list(store, path, limit, failed).await?;
    let found = directory.files().next().is_some();
    Ok(found.then(|| Content::Directory(Arc::new(directory))))
}

fn open(remote: &Remote, guard: Guard, timeout: Duration) -> Result<Box<dyn ObjectStore>, Error> {
    // A few attempts in one fetch, for what a moment heals; for the rest, who fetches tries again.
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 3,
        retry_timeout: timeout,
    };
    let bucket = remote.url.host_str().unwrap_or_default();
    Ok(match remote.scheme {
        Scheme::Http | Scheme::Https => Box::new(
            HttpBuilder::new()
                .with_url(remote.url.as_str())
                .with_retry(retry)
                .with_http_connector(guard)
                .build()?,
        ),
        Scheme::S3 => Box::new(
            AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retry)
                .with_http_connector(guard)
                .build()?,
        ),
        Scheme::Gs => Box::new(
            GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retry)
                .with_http_connector(guard)
                .build()?,
        ),
        Scheme::Az => Box::new(
            MicrosoftAzureBuilder::from_env()
                .with_container_name(bucket)
                .with_retry(retry)
                .with_http_connector(guard)
                .build()?,
        ),
    })
}

async fn get(store: &dyn ObjectStore, path: &Path) -> Result<Bytes, Error> {
    store.get(path).await?.bytes().await
}

async fn list(
    store: &dyn ObjectStore,
    prefix: &Path,
    limit: u64,
    failed: &impl Fn(Error) -> FetchError,
) -> Result<Directory, FetchError> {
    let mut names = Vec::new();
    let mut room = limit;
    let too_large = |what, limit| Err(FetchError::TooLarge { what, limit });
    let mut listed = store.list(Some(prefix));
    while let Some(found) = listed.try_next().await.map_err(failed)? {
        let parts = found.location.prefix_match(prefix);
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            continue;
        }
        let Some(left) = room.checked_sub(found.size) else {
            return too_large("bytes", limit);
        };
        room = left;
        if names.len() >= MOST_FILES {
            return too_large("files", MOST_FILES as u64);
        }
        let name: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        names.push((name.join("/"), found.location));
    }
    // What is read may be larger than what was listed.
    let mut room = limit;
    let mut files = BTreeMap::new();
    for (name, path) in names {
        let bytes = get(store, &path).await.map_err(failed)?;
        let Some(left) = room.checked_sub(bytes.len() as u64) else {
            return too_large("bytes", limit);
        };
        room = left;
        files.insert(name, Vec::from(bytes));
    }
    Ok(Directory::new(files))
}

/// What a store's failure means to who fetches: the refusal of ours in it, or whether another time
/// may be better.
fn classify(error: &Error, complaint: Option<&Complaint>, location: &str) -> FetchError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<FetchError>() {
            return ours.clone();
        }
        if error.is::<HttpError>() && !is_ours(error) {
            // Connections that cannot be had, or break; with what lies behind it.
            return FetchError::Unavailable(chain(error));
        }
        cause = error.source();
    }
    if let Some(complaint) = complaint {
        return of_status(complaint, location);
    }
    match error {
        Error::NotFound { .. } => FetchError::NotFound(location.to_owned()),
        error => FetchError::Failed(chain(error)),
    }
}

/// Whether the failure of a request has a refusal of ours in it.
fn is_ours(error: &(dyn std::error::Error + 'static)) -> bool {
    let cause = error.source();
    cause
        .and_then(|cause| cause.downcast_ref::<FetchError>())
        .is_some()
}

fn of_status(complaint: &Complaint, location: &str) -> FetchError {
    let Complaint { status, text } = complaint;
    let text: String = text.chars().take(300).collect();
    let said = if text.is_empty() {
        format!("the server answers {status}")
    } else {
        format!("the server answers {status}: {text}")
    };
    match status {
        404 | 410 => FetchError::NotFound(location.to_owned()),
        401 | 403 => FetchError::Denied {
            location: location.to_owned(),
            reason: said,
        },
        // The server does not do what it is asked, and never will.
        501 | 505 => FetchError::Failed(said),
        408 | 425 | 429 | 500.. => FetchError::Unavailable(said),
        _ => FetchError::Failed(said),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn fetch(
        objects: &[(&str, usize)],
        path: &str,
        limit: u64,
    ) -> Result<Option<Content>, FetchError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = InMemory::new();
            for (path, length) in objects {
                let bytes = vec![b'x'; *length];
                store.put(&Path::from(*path), bytes.into()).await.unwrap();
            }
            let failed = |error: Error| classify(&error, None, path);
            from_store(&store, &Path::from(path), limit, &failed).await
        })
    }

    const OBJECTS: &[(&str, usize)] = &[
        ("wine/1", 0),
        ("wine/1/saved_model.pb", 5),
        ("wine/1/variables/variables.index", 0),
        ("wine/1/variables/variables.data-00000-of-00001", 7),
        ("wine/10/saved_model.pb", 50),
        ("wine.onnx", 9),
    ];

    fn paths(content: Option<Content>) -> Vec<String> {
        match content {
            Some(Content::Directory(directory)) => {
                directory.files().map(|(path, _)| path.to_owned()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_object_is_a_file_and_what_has_objects_below_is_a_directory() {
        let file = fetch(OBJECTS, "wine.onnx", 100).unwrap();
        assert!(matches!(file, Some(Content::Bytes(bytes)) if bytes.len() == 9));
        assert_eq!(
            paths(fetch(OBJECTS, "wine/1", 100).unwrap()),
            [
                "saved_model.pb",
                "variables/variables.data-00000-of-00001",
                "variables/variables.index"
            ]
        );
        assert_eq!(paths(fetch(OBJECTS, "", 100).unwrap()).len(), 5 + 1);
        assert!(fetch(OBJECTS, "win", 100).unwrap().is_none());
    }

    #[test]
    fn a_directory_is_limited_as_a_whole() {
        assert!(fetch(OBJECTS, "wine/1", 12).is_ok());
        let error = fetch(OBJECTS, "wine/1", 11).unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::TooLarge {
                    what: "bytes",
                    limit: 11
                }
            ),
            "{error}"
        );
    }
}
