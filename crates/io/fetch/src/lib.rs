//! Requests to other servers.
//!
//! Owns: HTTP/1.1 over TCP and TLS, one connection a request, no redirects, and a limit in time for
//! everything up to the answer's head. Knows nothing of what is asked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why there is no answer. None of them repeats the URL, which may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the address is not an http or https URL")]
    Address,
    #[error("no answer in time")]
    Timeout,
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("TLS: {0}")]
    Tls(#[source] std::io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
}

/// An answer's body, piece by piece.
#[derive(Debug)]
pub struct Body(Incoming);

impl Body {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            match self.0.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// Sends `body` as JSON; the status of the answer.
pub async fn post_json(url: &str, body: impl Into<Bytes>, limit: Duration) -> Result<u16, Error> {
    let request = Request::builder().header(header::CONTENT_TYPE, "application/json");
    post(url, request, body.into(), limit).await
}

/// Sends `body`, which is of this kind, with an `Authorization` header; the status of the answer.
pub async fn post_authorized(
    url: &str,
    kind: &str,
    authorization: &str,
    body: impl Into<Bytes>,
    limit: Duration,
) -> Result<u16, Error> {
    let request =
        Request::builder().header(header::CONTENT_TYPE, kind).header(header::AUTHORIZATION, authorization);
    post(url, request, body.into(), limit).await
}

async fn post(
    url: &str,
    request: hyper::http::request::Builder,
    body: Bytes,
    limit: Duration,
) -> Result<u16, Error> {
    let answer = within(limit, send(url, request.method(Method::POST), Full::new(body))).await?;
    Ok(answer.status().as_u16())
}

/// Asks for a document; the status of the answer, and its body as it comes, without limit.
pub async fn get(url: &str, limit: Duration) -> Result<(u16, Body), Error> {
    let request = Request::builder().method(Method::GET);
    let answer = within(limit, send(url, request, Full::default())).await?;
    Ok((answer.status().as_u16(), Body(answer.into_body())))
}

/// A connection to a server, plain or over TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects for another protocol than HTTP.
pub async fn connect(host: &str, port: u16, is_tls: bool, limit: Duration) -> Result<Box<dyn Stream>, Error> {
    within(limit, dial(host, port, is_tls)).await
}

async fn dial(host: &str, port: u16, is_tls: bool) -> Result<Box<dyn Stream>, Error> {
    let tcp = TcpStream::connect((host, port)).await.map_err(Error::Connect)?;
    if !is_tls {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::Address)?;
    Ok(Box::new(TlsConnector::from(tls()).connect(name, tcp).await.map_err(Error::Tls)?))
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::Timeout))
}

async fn send(
    url: &str,
    request: hyper::http::request::Builder,
    body: Full<Bytes>,
) -> Result<Response<Incoming>, Error> {
    let uri: Uri = url.parse().map_err(|_| Error::Address)?;
    let authority = uri.authority().ok_or(Error::Address)?;
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(Error::Address),
    };
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = request
        .uri(path)
        // Without user and password, which some write before the host.
        .header(header::HOST, authority.as_str().rsplit('@').next().unwrap_or_default())
        .header(header::USER_AGENT, concat!("millrace/", env!("CARGO_PKG_VERSION")))
        .body(body)
        .map_err(|_| Error::Address)?;
    exchange(dial(host, port, is_tls).await?, request).await
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Error> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends by itself when the answer has been read or is dropped.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// The machine's own certificate authorities, read once.
fn tls() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        // The provider has the versions that are asked of it: this cannot fail.
        let builder = versions.unwrap_or_else(|_| ClientConfig::builder());
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    CONFIG.get_or_init(make).clone()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server for one request: what it was sent, after it answered `answer`.
    async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"}") && !request.ends_with(b"\r\n\r\n") {
                let n = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..n]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            if answer.is_empty() {
                // Says nothing until it is left.
                while stream.read(&mut buffer).await.unwrap_or(0) > 0 {}
            }
            String::from_utf8(request).unwrap()
        });
        (url, task)
    }

    #[tokio::test]
    async fn a_post_says_what_it_should_and_hears_the_status() {
        let (url, task) = server("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
        let status =
            post_json(&format!("{url}/hook?a=b"), r#"{"a":1}"#, Duration::from_secs(5)).await.unwrap();
        assert_eq!(status, 403);
        let request = task.await.unwrap();
        assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("content-type: application/json\r\n") && request.ends_with("{\"a\":1}"));
        assert!(request.contains(&format!("host: {}\r\n", &url[7..])), "{request}");
    }

    #[tokio::test]
    async fn a_body_comes_piece_by_piece() {
        let (url, _task) = server("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nFLV!").await;
        let (status, mut body) = get(&url, Duration::from_secs(5)).await.unwrap();
        assert_eq!(status, 200);
        let mut all = Vec::new();
        while let Some(piece) = body.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(all, b"FLV!");
    }

    #[tokio::test]
    async fn silence_and_nonsense_are_errors_in_time() {
        let (url, _task) = server("").await;
        let silent = post_json(&url, "{}", Duration::from_millis(50)).await;
        assert!(matches!(silent, Err(Error::Timeout)));
        for address in ["ftp://a/b", "nonsense", "http://", "/path"] {
            let refused = get(address, Duration::from_secs(5)).await;
            assert!(matches!(refused, Err(Error::Address)), "{address}");
        }
        let nobody = get("http://127.0.0.1:1/", Duration::from_secs(5)).await;
        assert!(matches!(nobody, Err(Error::Connect(_))));
    }
}
