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
}

impl Head {
    /// None until it is all there.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(bytes)?.is_partial() {
            return Ok(None);
        }
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(found.value).ok().map(str::trim)
        };
        let wants_websocket = header("upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
        Ok(Some(Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            host: header("host").unwrap_or_default().to_owned(),
            websocket: header("sec-websocket-key").filter(|_| wants_websocket).map(str::to_owned),
        }))
    }
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
        let text = b"GET /a HTTP/1.1\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n";
        assert_eq!(Head::parse(text).unwrap().unwrap().websocket.as_deref(), Some("k"));
        for bad in [&b"\x03rtmp"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
            assert!(Head::parse(bad).is_err());
        }
    }
}
