//! Where streams are published and played.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, bail, ensure};
use rtmp::client::Target;

/// Port of HTTP-FLV and HLS where nothing else is said.
const HTTP_PORT: u16 = 8080;

/// The addresses of all streams of a run.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// `rtmp://host:port/app`.
    base: String,
    app: String,
    name: String,
    /// With its question mark, or empty.
    query: String,
    /// A number is put behind the name.
    is_numbered: bool,
    pub(crate) rtmp: SocketAddr,
    pub(crate) http: SocketAddr,
    /// As the `Host` of requests.
    pub(crate) authority: String,
    /// Open files that the whole run needs.
    pub(crate) files: u64,
}

impl Address {
    pub(crate) fn parse(url: &str, http: Option<&str>, streams: usize, files: u64) -> anyhow::Result<Self> {
        let (plain, query) = url.split_once('?').map_or((url, ""), |(plain, query)| (plain, query));
        if !plain.starts_with("rtmp://") {
            bail!("--url {plain}: must begin with rtmp:// (TLS is not carried: load the server itself)");
        }
        let parsed = Target::parse(plain).filter(|target| !target.is_tls);
        let (Some(target), Some((base, name))) = (parsed, plain.rsplit_once('/')) else {
            bail!("--url {plain}: must be rtmp://host[:port]/app/stream");
        };
        let app = base.splitn(4, '/').nth(3).unwrap_or_default();
        let authority = match http {
            None => format!("{}:{HTTP_PORT}", bracketed(&target.host)),
            Some(http) => {
                let Some(authority) = http.strip_prefix("http://") else {
                    bail!(
                        "--http {http}: must begin with http:// (TLS is not carried: load the server itself)"
                    );
                };
                let authority = authority.trim_end_matches('/');
                ensure!(
                    !authority.is_empty() && !authority.contains('/'),
                    "--http {http}: host and port only"
                );
                if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") }
            }
        };
        Ok(Self {
            base: base.to_owned(),
            app: app.to_owned(),
            name: name.to_owned(),
            query: if query.is_empty() { String::new() } else { format!("?{query}") },
            is_numbered: streams > 1,
            rtmp: resolve(&format!("{}:{}", bracketed(&target.host), target.port))
                .with_context(|| format!("--url {plain}"))?,
            http: resolve(&authority).with_context(|| format!("--http http://{authority}"))?,
            authority,
            files,
        })
    }

    fn name(&self, stream: usize) -> String {
        if self.is_numbered { format!("{}-{stream}", self.name) } else { self.name.clone() }
    }

    /// As the client of RTMP wants it.
    pub(crate) fn target(&self, stream: usize) -> anyhow::Result<Target> {
        let url = format!("{}/{}{}", self.base, self.name(stream), self.query);
        Target::parse(&url).context("the stream's name")
    }

    /// The target of a request for `file` of a stream: `.flv`, or `/index.m3u8`.
    pub(crate) fn path(&self, stream: usize, file: &str) -> String {
        format!("/{}/{}{file}{}", self.app, self.name(stream), self.query)
    }

    /// Whether all of it is on this machine.
    pub(crate) fn is_ours(&self) -> bool {
        self.rtmp.ip().is_loopback() && self.http.ip().is_loopback()
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'))
}

fn resolve(authority: &str) -> anyhow::Result<SocketAddr> {
    let mut found = authority.to_socket_addrs().with_context(|| format!("no such host: {authority}"))?;
    found.next().with_context(|| format!("no such host: {authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_names_a_stream_for_every_protocol() {
        let address = Address::parse("rtmp://127.0.0.1/d.org/live/demo?token=t", None, 1, 0).unwrap();
        assert_eq!((address.rtmp.port(), address.http.port()), (1935, 8080));
        assert_eq!(address.path(0, ".flv"), "/d.org/live/demo.flv?token=t");
        assert_eq!(
            Some(address.target(0).unwrap()),
            Target::parse("rtmp://127.0.0.1/d.org/live/demo?token=t")
        );

        let many = Address::parse("rtmp://[::1]:1936/live/demo", Some("http://[::1]:90/"), 3, 0).unwrap();
        assert_eq!((many.rtmp.port(), many.authority.as_str()), (1936, "[::1]:90"));
        assert_eq!(many.path(2, "/index.m3u8"), "/live/demo-2/index.m3u8");
        assert!(many.is_ours());
    }

    #[test]
    fn a_wrong_address_says_what_it_should_be() {
        for (url, http, part) in [
            ("http://127.0.0.1/live/demo", None, "rtmp://"),
            ("rtmps://127.0.0.1/live/demo", None, "TLS"),
            ("rtmp://127.0.0.1/demo", None, "app/stream"),
            ("rtmp://127.0.0.1:x/live/demo", None, "app/stream"),
            ("rtmp://127.0.0.1/live/demo", Some("https://127.0.0.1"), "http://"),
            ("rtmp://127.0.0.1/live/demo", Some("http://127.0.0.1/live"), "host and port"),
        ] {
            let error = format!("{:#}", Address::parse(url, http, 1, 0).unwrap_err());
            assert!(error.contains(part), "{url} gave {error}");
        }
    }
}
