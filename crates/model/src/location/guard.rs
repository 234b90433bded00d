//! What carries every request of every store, and keeps to the rules whatever a server says.

use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_LENGTH, HeaderValue, LOCATION};
use reqwest::{Client, Method, Request, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use super::FetchError;
use super::address::Remote;
use super::roots::Roots;

/// Redirects of one request that are followed, at most.
const MOST_REDIRECTS: usize = 5;
/// Bytes of an answer that says what went wrong, at most: it ends in a message.
const LONGEST_COMPLAINT: u64 = 4096;
/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A client of a web server, or of a store.
///
/// Answers are read whole before anybody sees them, up to a limit: so an answer that breaks off is a
/// failure of the request, which is made again, and one of unannounced length has a length.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// For http and https, where the location names the host: where redirects may lead. A store is
    /// where the environment says, and redirects nowhere.
    pub(super) web: Option<Arc<Roots>>,
    /// Whether no proxy is asked, whatever the environment says: the host is this machine.
    pub(super) direct: bool,
    /// Bytes of an answer, at most.
    pub(super) limit: u64,
    pub(super) tls: Arc<ClientConfig>,
    /// What the last answer was, if it was no success: stores do not tell the status.
    pub(super) complaint: Arc<Mutex<Option<Complaint>>>,
}

/// An answer that says what went wrong.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    pub(super) status: u16,
    /// The beginning of its text.
    pub(super) text: String,
}

/// TLS as the system trusts it: its certificate authorities, or those of `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`.
pub(super) fn tls() -> Result<Arc<ClientConfig>, FetchError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate authority of the system cannot be read");
    }
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(found.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Failed(error.to_string()))?;
    Ok(Arc::new(
        config
            .with_root_certificates(authorities)
            .with_no_client_auth(),
    ))
}

impl HttpConnector for Guard {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let plain = self.web.is_some() || plain.as_deref() == Some("true");
        let mut builder = Client::builder()
            .tls_backend_preconfigured((*self.tls).clone())
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!plain)
            .connect_timeout(CONNECT)
            .user_agent(concat!("model-serving/", env!("CARGO_PKG_VERSION")));
        if self.web.is_some() {
            builder = builder.dns_resolver(Resolver);
        }
        if self.direct {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| object_store::Error::Generic {
                store: "HTTP",
                source: Box::new(error),
            })?;
        Ok(HttpClient::new(Guarded {
            guard: self.clone(),
            client,
        }))
    }
}

#[derive(Debug)]
struct Guarded {
    guard: Guard,
    client: Client,
}

#[async_trait]
impl HttpService for Guarded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string());
        let mut url = url.map_err(|error| refused(FetchError::Failed(error.to_string())))?;
        for _ in 0..=MOST_REDIRECTS {
            if self.guard.web.is_some() {
                check_host(&url).map_err(refused)?;
            }
            let mut request = Request::new(parts.method.clone(), url.clone());
            *request.headers_mut() = parts.headers.clone();
            if let Some(bytes) = body.as_bytes().filter(|bytes| !bytes.is_empty()) {
                *request.body_mut() = Some(bytes.clone().into());
            }
            let response = self.client.execute(request).await.map_err(failed)?;
            match self.guard.redirect(&parts.method, &url, &response) {
                None => return self.guard.read(&parts.method, response).await,
                Some(target) => url = target.map_err(refused)?,
            }
        }
        Err(refused(FetchError::Redirect {
            target: without_query(&url),
            reason: format!("it is the {MOST_REDIRECTS}th in a row"),
        }))
    }
}

impl Guard {
    /// Where the answer sends us, if it does and we go there.
    fn redirect(
        &self,
        method: &Method,
        from: &Url,
        response: &Response,
    ) -> Option<Result<Url, FetchError>> {
        let roots = self.web.as_ref()?;
        let redirects = [
            StatusCode::MOVED_PERMANENTLY,
            StatusCode::FOUND,
            StatusCode::SEE_OTHER,
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        if !redirects.contains(&response.status()) || *method != Method::GET {
            return None;
        }
        let target = response.headers().get(LOCATION)?;
        let target = String::from_utf8_lossy(target.as_bytes());
        Some(follow(roots, from, &target))
    }

    async fn read(
        &self,
        method: &Method,
        mut response: Response,
    ) -> Result<HttpResponse, HttpError> {
        let status = response.status();
        let mut headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        let too_large = || {
            refused(FetchError::TooLarge {
                what: "bytes",
                limit: self.limit,
            })
        };
        let mut complaint = None;
        if !status.is_success() {
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                let room = (LONGEST_COMPLAINT as usize).saturating_sub(body.len());
                body.extend(chunk.iter().take(room));
                if chunk.len() > room {
                    break;
                }
            }
            headers.remove(CONTENT_LENGTH);
            complaint = Some(Complaint {
                status: status.as_u16(),
                text: String::from_utf8_lossy(&body).trim().to_owned(),
            });
        } else if *method != Method::HEAD {
            // What is announced is refused before it is read.
            let announced = headers.get(CONTENT_LENGTH).and_then(length);
            if announced.is_some_and(|announced| announced > self.limit) {
                return Err(too_large());
            }
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if (body.len() + chunk.len()) as u64 > self.limit {
                    return Err(too_large());
                }
                body.extend_from_slice(&chunk);
            }
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len() as u64));
        }
        *self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = complaint;
        let mut answer = HttpResponse::new(HttpResponseBody::from(Bytes::from(body)));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

fn length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    // A number that does not fit is larger than any limit.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The target of a redirect: of the same scheme, and under a root.
fn follow(roots: &Roots, from: &Url, target: &str) -> Result<Url, FetchError> {
    let refused = |target: String, reason: String| Err(FetchError::Redirect { target, reason });
    let url = match from.join(target) {
        Ok(url) => url,
        Err(error) => {
            let target = target.chars().take(300).collect();
            return refused(target, error.to_string());
        }
    };
    let shown = without_query(&url);
    if url.scheme() != from.scheme() {
        return refused(shown, format!("its scheme is not {}", from.scheme()));
    }
    if let Err(error) = check_host(&url) {
        return refused(shown, error.to_string());
    }
    match Remote::target(url.clone()) {
        Ok(remote) if roots.allow(&remote) => Ok(url),
        Ok(_) => refused(shown, format!("it is under no root ({roots})")),
        Err(reason) => refused(shown, reason),
    }
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// Refuses a host that is written as an address that models do not come from.
fn check_host(url: &Url) -> Result<(), FetchError> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        _ => return Ok(()),
    };
    check_address(url.host_str().unwrap_or_default(), address)
}

fn check_address(host: &str, address: IpAddr) -> Result<(), FetchError> {
    if is_forbidden(address) {
        return Err(FetchError::Address {
            host: host.to_owned(),
            address: address.to_string(),
        });
    }
    Ok(())
}

/// Addresses of the link, and those at which a machine of a cloud finds its credentials.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    /// Alibaba's and Oracle's.
    const METADATA: [Ipv4Addr; 2] = [
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    /// Amazon's, over IPv6.
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let forbidden = |address: Ipv4Addr| address.is_link_local() || METADATA.contains(&address);
    match address {
        IpAddr::V4(address) => forbidden(address),
        IpAddr::V6(address) => {
            if address.is_unicast_link_local() || address == METADATA_V6 {
                return true;
            }
            // IPv4 in IPv6: mapped and compatible (RFC 4291, 2.5.5), translated (RFC 6052, 2.1),
            // 6to4 (RFC 3056).
            let [a, b, c, d, e, f, g, h] = address.segments();
            let v4 = |high: u16, low: u16| {
                forbidden(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
            };
            match [a, b, c, d, e, f] {
                [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
                [0x2002, high, low, ..] => v4(high, low),
                _ => false,
            }
        }
    }
}

/// The system's resolver, without the addresses that models do not come from: a name is refused if
/// any of its addresses is one.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            for address in &found {
                check_address(name.as_str(), address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A refusal of ours, on its way through the store.
fn refused(error: FetchError) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

fn failed(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Of the resolver.
        if let Some(ours) = error.downcast_ref::<FetchError>() {
            return refused(ours.clone());
        }
        cause = error.source();
    }
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if every name were the metadata service's.
    struct Everywhere;

    impl Resolve for Everywhere {
        fn resolve(&self, name: Name) -> Resolving {
            let found = check_address(name.as_str(), [169, 254, 169, 254].into());
            let found = found.map(|()| Box::new(std::iter::empty()) as Addrs);
            Box::pin(async { Ok(found?) })
        }
    }

    #[test]
    fn a_name_that_resolves_to_a_link_local_address_is_refused_for_good() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = Client::builder()
            .tls_backend_preconfigured((*tls().unwrap()).clone())
            .no_proxy()
            .dns_resolver(Everywhere)
            .build()
            .unwrap();
        let sent = runtime.block_on(client.get("http://models.example.org/").send());
        let error = failed(sent.unwrap_err());
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        assert!(
            matches!(cause, Some(FetchError::Address { .. })),
            "{error:?}"
        );
    }
}
