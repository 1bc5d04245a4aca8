//! The server of a load of rooms: where it is, from which of our addresses it is spoken to, and the way to a WebSocket.
//!
//! Owns: what `--url`, `--source` and `--insecure` say, TCP and TLS. Knows nothing of what is said then.

use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

use crate::files;

/// Where the kernel says which ports it gives to sockets that ask for none: ip(7), `ip_local_port_range`.
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A connection to the server, plain or over TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// See the module's description.
pub(crate) struct Server {
    /// `ws://host:port` or `wss://host:port`, perhaps with a path before `/rtc`.
    pub(crate) url: String,
    address: SocketAddr,
    /// Ours, in turn; the system's choice if there are none.
    sources: Vec<IpAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Open files that the whole run needs.
    pub(crate) files: u64,
}

impl Server {
    pub(crate) fn new(url: &str, sources: &[IpAddr], insecure: bool, files: u64) -> anyhow::Result<Self> {
        let (authority, is_tls) = match (url.strip_prefix("ws://"), url.strip_prefix("wss://")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => bail!("--url {url}: must begin with ws:// or wss://"),
        };
        let authority = authority.split('/').next().unwrap_or_default();
        // Behind the brackets of IPv6, if there are any.
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let port = if is_tls { 443 } else { 80 };
        let whole = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let mut addresses =
            whole.to_socket_addrs().with_context(|| format!("--url {url}: no such host, or no port"))?;
        let address = addresses.next().with_context(|| format!("--url {url}: no such host"))?;
        let host = whole.rsplit_once(':').map_or("", |(host, _)| host);
        let tls = match is_tls {
            true => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).with_context(|| format!("--url {url}"))?;
                Some((connector(insecure)?, name))
            }
            false => None,
        };
        Ok(Self { url: url.trim_end_matches('/').to_owned(), address, sources: sources.to_vec(), tls, files })
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// Whether there are addresses and ports for so many sockets of one protocol.
    pub(crate) fn has_room_for(&self, sockets: usize) -> anyhow::Result<()> {
        for source in &self.sources {
            ensure!(
                source.is_ipv4() == self.address.is_ipv4(),
                "--source {source}: the server is at {}, which is of another kind",
                self.address.ip()
            );
            TcpListener::bind((*source, 0))
                .with_context(|| format!("--source {source}: not an address of this machine"))?;
        }
        let Some(ports) = std::fs::read_to_string(PORT_RANGE).ok().and_then(|text| ports(&text)) else {
            return Ok(());
        };
        ensure!(
            sockets <= ports * self.sources.len().max(1),
            "{sockets} connections are to come from {} address{}, of {ports} ports each: give {} of this \
             machine to --source, such as 127.0.0.1,127.0.0.2",
            self.sources.len().max(1),
            if self.sources.len() > 1 { "es" } else { "" },
            sockets.div_ceil(ports.max(1)),
        );
        Ok(())
    }

    /// A connection for the participant with this index, and our address.
    pub(crate) async fn connect(&self, index: usize) -> anyhow::Result<(Box<dyn Stream>, IpAddr)> {
        let (stream, ip) = self.dial(index).await.map_err(|error| match error {
            error if files::is_lack(&error) => anyhow::anyhow!(files::explain(error, self.files)),
            error if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
                anyhow::anyhow!("no local port is left: give more addresses to --source")
            }
            error => {
                anyhow::anyhow!(error).context(format!("nothing answers at {}: is it running?", self.url))
            }
        })?;
        let Some((connector, name)) = &self.tls else { return Ok((Box::new(stream), ip)) };
        let stream = connector.connect(name.clone(), stream).await;
        let stream = stream.with_context(|| {
            format!("--url {}: TLS (--insecure takes a certificate that nobody vouches for)", self.url)
        })?;
        Ok((Box::new(stream), ip))
    }

    async fn dial(&self, index: usize) -> std::io::Result<(tokio::net::TcpStream, IpAddr)> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.sources.get(index % self.sources.len().max(1)) {
            socket.bind(SocketAddr::new(*source, 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let ip = stream.local_addr()?.ip();
        Ok((stream, ip))
    }
}

/// How many ports a range has that is written as its ends with a tab between them.
fn ports(range: &str) -> Option<usize> {
    let mut ends = range.split_ascii_whitespace().map(|end| end.parse::<usize>().ok());
    let (first, last) = (ends.next()??, ends.next()??);
    Some((last + 1).saturating_sub(first))
}

fn connector(insecure: bool) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("TLS versions")?;
    let config = if insecure {
        let verifier = Arc::new(Anybody(provider));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes any certificate, if its key is the one that signs.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, sources: &[&str]) -> anyhow::Result<Server> {
        let sources: Vec<IpAddr> = sources.iter().map(|source| source.parse().unwrap()).collect();
        Server::new(url, &sources, false, 0)
    }

    #[test]
    fn addresses_have_ports_and_kinds() {
        for (url, address) in [
            ("ws://127.0.0.1", "127.0.0.1:80"),
            ("wss://127.0.0.1/", "127.0.0.1:443"),
            ("ws://127.0.0.1:7880/deep", "127.0.0.1:7880"),
            ("ws://[::1]", "[::1]:80"),
            ("wss://[::1]:7443", "[::1]:7443"),
        ] {
            let server = server(url, &[]).unwrap();
            assert_eq!((server.address, server.is_ours()), (address.parse().unwrap(), true), "{url}");
            assert_eq!(server.tls.is_some(), url.starts_with("wss"), "{url}");
        }
        assert_eq!(server("ws://127.0.0.1:7880/deep/", &[]).unwrap().url, "ws://127.0.0.1:7880/deep");
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let wrong = |url: &str, sources: &[&str], count: usize| {
            let result = server(url, sources).and_then(|server| server.has_room_for(count));
            format!("{:#}", result.unwrap_err())
        };
        for (url, sources, count, part) in [
            ("http://127.0.0.1", &[][..], 1, "ws:// or wss://"),
            ("127.0.0.1:7880", &[][..], 1, "ws:// or wss://"),
            ("ws://127.0.0.1:x", &[][..], 1, "no port"),
            ("ws://", &[][..], 1, "no such host"),
            ("ws://127.0.0.1", &["::1"][..], 1, "another kind"),
            ("ws://127.0.0.1", &["192.0.2.1"][..], 1, "not an address of this machine"),
            ("ws://127.0.0.1", &[][..], 100_000, "--source"),
            ("ws://127.0.0.1", &["127.0.0.1", "127.0.0.2"][..], 200_000, "2 addresses"),
        ] {
            let error = wrong(url, sources, count);
            assert!(error.contains(part) && !error.contains('\n'), "{url}: {error}");
        }
    }

    #[test]
    fn a_range_of_ports_has_both_its_ends() {
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("5 4"), Some(0));
        assert_eq!(ports(""), None);
        assert_eq!(ports("7 x"), None);
    }
}
