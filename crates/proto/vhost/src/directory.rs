//! Domains, their applications, and which stream an address means.

use std::collections::BTreeMap;
use std::sync::Arc;

use media::Name;

use crate::App;

/// The name of the default domain where none is configured.
pub const DEFAULT_DOMAIN: &str = "default";
/// Characters of a path: a name of three parts, percent-encoded, and a file in it.
const MAX_PATH: usize = 2048;

/// What is wrong where parts make no name.
const NO_NAME: &str = "a part is empty, too long, or leads elsewhere";

/// Why an address means no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("malformed path: {0}")]
    Malformed(&'static str),
    #[error("there is no such application")]
    UnknownApp,
    #[error("there is no such file")]
    UnknownFile,
}

impl AddressError {
    /// As HTTP says it (RFC 9110 section 15).
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::UnknownApp | Self::UnknownFile => 404,
        }
    }
}

/// A stream's name, and the settings that it has or would have.
#[derive(Debug, Clone)]
pub struct Place {
    pub name: Name,
    pub app: Arc<App>,
}

/// A file within a stream's folder.
#[derive(Debug, Clone)]
pub struct FilePlace {
    pub place: Place,
    /// The file's name without its folders; `demo.flv` beside the folder is a file of `demo` too.
    pub file: String,
}

/// Applications under one name.
#[derive(Debug, Clone, Default)]
pub struct Domain {
    pub name: String,
    pub apps: BTreeMap<String, Arc<App>>,
    /// What an application that is not listed has. Without it such an application is refused.
    pub auto: Option<Arc<App>>,
}

impl Domain {
    fn app(&self, name: &str) -> Option<&Arc<App>> {
        self.apps.get(name).or(self.auto.as_ref())
    }
}

/// All domains. The first is the default: what names no domain is in it. An application can be made on
/// demand, a domain never.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    domains: Vec<Domain>,
}

impl Directory {
    pub fn new(domains: Vec<Domain>) -> Self {
        Self { domains }
    }

    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }

    /// The name of the default domain.
    pub fn default_domain(&self) -> &str {
        self.domains.first().map_or(DEFAULT_DOMAIN, |domain| &domain.name)
    }

    /// The settings of a stream that has a name, if its application is still there.
    pub fn app(&self, name: &Name) -> Option<&Arc<App>> {
        self.find(name.domain())?.app(name.app())
    }

    /// The stream at `[domain/]app/stream` of `host`, as RTMP and WebRTC addresses have it; neither has its
    /// parameters any more. Host and first part mean a domain if there is one of that name.
    pub fn stream(&self, host: &str, path: &str) -> Result<Place, AddressError> {
        let parts = parts(path)?;
        match parts.as_slice() {
            [app, stream] => self.place(self.by_host(host), app, stream),
            // One that nobody has configured stands for the default domain, but has to be a name.
            [domain, app, stream] if Name::new(domain, app, stream).is_some() => {
                self.place(self.find(domain), app, stream)
            }
            [_, _, _] => Err(AddressError::Malformed(NO_NAME)),
            _ => Err(AddressError::Malformed("it is not [domain/]app/stream")),
        }
    }

    /// The stream and file at an HTTP path, percent-encoded as it came:
    /// `/[domain/]app/stream/file` or `/[domain/]app/stream.flv`.
    pub fn file(&self, host: &str, path: &str) -> Result<FilePlace, AddressError> {
        let decoded = parts(path)?.into_iter().map(decode).collect::<Option<Vec<_>>>();
        let parts = decoded.ok_or(AddressError::Malformed("it is not UTF-8"))?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let beside = |file: &str| file.strip_suffix(".flv").map(str::to_owned);
        let by_host = self.by_host(host);
        let (domain, app, stream, file) = match parts.as_slice() {
            [app, file] => (by_host, *app, beside(file), *file),
            [domain, app, file] if self.find(domain).is_some() && file.ends_with(".flv") => {
                (self.find(domain), *app, beside(file), *file)
            }
            [app, stream, file] => (by_host, *app, Some((*stream).to_owned()), *file),
            [domain, app, stream, file] => (self.find(domain), *app, Some((*stream).to_owned()), *file),
            _ => return Err(AddressError::Malformed("it is not /[domain/]app/stream/file")),
        };
        let stream = stream.ok_or(AddressError::Malformed("it names no file of a stream"))?;
        if file.contains(['/', '\\']) || file.chars().any(char::is_control) || matches!(file, "." | "..") {
            return Err(AddressError::Malformed("its file has no name"));
        }
        Ok(FilePlace { place: self.place(domain, app, &stream)?, file: file.to_owned() })
    }

    fn place(&self, domain: Option<&Domain>, app: &str, stream: &str) -> Result<Place, AddressError> {
        let domain = domain.or(self.domains.first()).ok_or(AddressError::UnknownApp)?;
        let name = Name::new(&domain.name, app, stream).ok_or(AddressError::Malformed(NO_NAME))?;
        let app = domain.app(app).ok_or(AddressError::UnknownApp)?;
        Ok(Place { name, app: app.clone() })
    }

    /// The domain that a `Host` header or an RTMP address names, with or without its port.
    fn by_host(&self, host: &str) -> Option<&Domain> {
        let is_bracketed = host.starts_with('[');
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if !is_bracketed && port.bytes().all(|b| b.is_ascii_digit()) => bare,
            _ => host,
        };
        self.find(bare)
    }

    /// Domain names do not tell upper from lower case (RFC 4343).
    fn find(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.name.eq_ignore_ascii_case(name))
    }
}

fn parts(path: &str) -> Result<Vec<&str>, AddressError> {
    if path.len() > MAX_PATH {
        return Err(AddressError::Malformed("it is too long"));
    }
    // Publishing software likes to end an address with a slash.
    Ok(path.trim_matches('/').split('/').collect())
}

/// Undoes percent-encoding (RFC 3986 section 2.1); a sign that encodes nothing stands for itself.
fn decode(part: &str) -> Option<String> {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |offset| bytes.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> Directory {
        let app = Arc::new(App::default());
        let apps = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), app.clone())).collect();
        Directory::new(vec![
            Domain { name: "main".into(), apps: apps(&["live", "vod"]), auto: None },
            Domain { name: "example.org".into(), apps: apps(&["live"]), auto: None },
            Domain { name: "free.example".into(), apps: apps(&[]), auto: Some(app.clone()) },
        ])
    }

    fn stream(host: &str, path: &str) -> Result<String, u16> {
        directory().stream(host, path).map(|place| place.name.to_string()).map_err(|e| e.status())
    }

    fn file(host: &str, path: &str) -> Result<(String, String), u16> {
        let found = directory().file(host, path).map_err(|e| e.status())?;
        Ok((found.place.name.to_string(), found.file))
    }

    #[test]
    fn a_stream_is_found_by_host_by_first_part_or_by_default() {
        let ok = |name: &str| Ok(name.to_owned());
        // rtmp://domain[:port]/app/stream
        assert_eq!(stream("example.org", "live/demo"), ok("example.org/live/demo"));
        assert_eq!(stream("Example.ORG:1935", "live/demo"), ok("example.org/live/demo"));
        // rtmp://ip[:port]/domain/app/stream
        assert_eq!(stream("10.0.0.1:1935", "example.org/live/demo"), ok("example.org/live/demo"));
        assert_eq!(stream("[::1]:1935", "/example.org/live/demo/"), ok("example.org/live/demo"));
        // rtmp://anything/app/stream
        assert_eq!(stream("10.0.0.1", "live/demo"), ok("main/live/demo"));
        assert_eq!(stream("[::1]", "live/demo"), ok("main/live/demo"));
        assert_eq!(stream("", "live/demo"), ok("main/live/demo"));
        assert_eq!(stream("elsewhere.example", "live/demo"), ok("main/live/demo"));
        // A first part that is no domain means the default one; one that is wins over the host.
        assert_eq!(stream("10.0.0.1", "nowhere.example/live/demo"), ok("main/live/demo"));
        assert_eq!(stream("free.example", "example.org/live/demo"), ok("example.org/live/demo"));
    }

    #[test]
    fn auto_makes_apps_never_domains() {
        assert_eq!(stream("free.example", "any/demo"), Ok("free.example/any/demo".into()));
        assert_eq!(stream("main", "any/demo"), Err(404));
        assert_eq!(stream("new.example", "any/demo"), Err(404));
        assert_eq!(stream("10.0.0.1", "new.example/any/demo"), Err(404));
        assert!(matches!(Directory::default().stream("h", "live/a"), Err(AddressError::UnknownApp)));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in [
            "",
            "demo",
            "live/",
            "live//demo",
            "a/b/c/d",
            "../live/demo",
            "../live/demo/x",
            "live/..",
            "live/.",
            "live/a\0",
        ] {
            assert_eq!(stream("main", path), Err(400), "{path:?}");
        }
        assert_eq!(stream("main", &"a/".repeat(5000)), Err(400));
        for path in
            ["/live/..%2f..%2fetc/passwd", "/live/%2e%2e/a.ts", "/live/demo/%2e%2e", "/live/a%00/x.ts"]
        {
            assert_eq!(file("main", path), Err(400), "{path:?}");
        }
        assert_eq!(file("main", "/live/demo/a%2fb.ts"), Err(400));
        assert_eq!(file("main", "/live/demo/%ff.ts"), Err(400));
    }

    #[test]
    fn files_of_a_stream_stand_beside_it_or_in_its_folder() {
        let ok = |name: &str, file: &str| Ok((name.to_owned(), file.to_owned()));
        assert_eq!(file("x", "/live/demo.flv"), ok("main/live/demo", "demo.flv"));
        assert_eq!(file("example.org:8080", "/live/demo.flv"), ok("example.org/live/demo", "demo.flv"));
        assert_eq!(file("x", "/example.org/live/demo.flv"), ok("example.org/live/demo", "demo.flv"));
        assert_eq!(file("x", "/live/demo/any.flv"), ok("main/live/demo", "any.flv"));
        assert_eq!(file("x", "/example.org/live/demo/any.flv"), ok("example.org/live/demo", "any.flv"));
        assert_eq!(file("x", "/live/demo/index.m3u8"), ok("main/live/demo", "index.m3u8"));
        assert_eq!(file("x", "/example.org/live/demo/7.ts"), ok("example.org/live/demo", "7.ts"));
        assert_eq!(file("x", "/live/a%20b/index.m3u8"), ok("main/live/a b", "index.m3u8"));
        assert_eq!(file("x", "/live/100%/index.m3u8"), ok("main/live/100%", "index.m3u8"));
        assert_eq!(file("x", "/nope/demo.flv"), Err(404));
        assert_eq!(file("x", "/live/index.m3u8"), Err(400));
        assert_eq!(file("x", "/live/.flv"), Err(400));
        assert_eq!(file("x", "/"), Err(400));
    }
}
