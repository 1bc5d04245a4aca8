//! The head of a request (RFC 9112 section 3), as far as it matters here.

/// Headers of a request; browsers send twenty.
const MAX_HEADERS: usize = 64;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) host: String,
    /// The key of a WebSocket's handshake (RFC 6455 section 4.2.1), where one is wanted.
    pub(super) websocket: Option<String>,
    /// The answer may be compressed with gzip.
    pub(super) takes_gzip: bool,
    /// The connection may be used again.
    pub(super) is_kept: bool,
    /// Bytes of the head.
    pub(super) len: usize,
}

impl Head {
    /// Of a request in HTTP/2, whose connection is not its own and which can ask for no WebSocket.
    pub(super) fn of<B>(request: &hyper::Request<B>) -> Self {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let uri = request.uri();
        let host = uri.authority().map(hyper::http::uri::Authority::as_str).or_else(|| header("host"));
        Self {
            method: request.method().as_str().to_owned(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            host: host.unwrap_or_default().to_owned(),
            websocket: None,
            takes_gzip: accepts(header("accept-encoding").unwrap_or_default(), "gzip"),
            is_kept: true,
            len: 0,
        }
    }

    /// Whether a stream without end is asked for.
    pub(super) fn is_flv(&self) -> bool {
        self.target.split('?').next().is_some_and(|path| path.ends_with(".flv"))
    }

    /// None until it is all there.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(len) = request.parse(bytes)? else { return Ok(None) };
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        let wants_websocket = header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
        let says = |word: &str| {
            let options = header("connection").unwrap_or_default().split(',');
            options.map(str::trim).any(|option| option.eq_ignore_ascii_case(word))
        };
        // A body would stand where the next request is looked for.
        let has_body = header("content-length").is_some_and(|length| length != "0")
            || header("transfer-encoding").is_some();
        let is_kept =
            !has_body && if request.version == Some(1) { !says("close") } else { says("keep-alive") };
        Ok(Some(Self {
            takes_gzip: accepts(header("accept-encoding").unwrap_or_default(), "gzip"),
            is_kept,
            len,
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            host: header("host").unwrap_or_default().to_owned(),
            websocket: header("sec-websocket-key").filter(|_| wants_websocket).map(str::to_owned),
        }))
    }
}

/// Whether `Accept-Encoding` has a coding. A weight of zero forbids it (RFC 9110 section 12.5.3).
pub fn accepts(offer: &str, coding: &str) -> bool {
    offer.split(',').any(|offered| {
        let (name, weight) = offered.split_once(';').unwrap_or((offered, ""));
        name.trim().eq_ignore_ascii_case(coding)
            && weight.trim().trim_start_matches("q=").parse().unwrap_or(1.0) > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_all_there() {
        let text = b"GET /live/demo.flv?token=t HTTP/1.1\r\nhOST: example.org:8080\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(Head::parse(&text[..cut]), Ok(None), "{cut}");
        }
        let head = Head::parse(text).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/live/demo.flv?token=t"));
        assert_eq!((head.host.as_str(), head.websocket), ("example.org:8080", None));
        for (offer, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("gzipped", false),
        ] {
            let text = format!("GET /a HTTP/1.1\r\nAccept-Encoding: {offer}\r\n\r\n");
            assert_eq!(Head::parse(text.as_bytes()).unwrap().unwrap().takes_gzip, takes, "{offer}");
        }
        let text = b"GET /a HTTP/1.1\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n";
        assert_eq!(Head::parse(text).unwrap().unwrap().websocket.as_deref(), Some("k"));
        let kept = |text: &[u8]| Head::parse(text).unwrap().unwrap().is_kept;
        assert!(kept(b"GET / HTTP/1.1\r\n\r\n") && kept(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        assert!(!kept(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n") && !kept(b"GET / HTTP/1.0\r\n\r\n"));
        assert!(!kept(b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"));
        for bad in [&b"\x03rtmp"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
            assert!(Head::parse(bad).is_err());
        }
    }
}
