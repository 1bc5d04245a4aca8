//! Certificates for HTTPS: from files, which may be read again, or made for a day of development.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, bail};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Files {
        cert: String,
        key: String,
    },
    /// Made at start, for these addresses and `localhost`; for every address of the machine where one of
    /// them is 0.0.0.0 or [::].
    SelfSigned(Vec<IpAddr>),
}

/// What listeners use. Its certificate may be replaced; connections that are open keep theirs.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ServerConfig>,
    certificate: Arc<Current>,
}

/// The certificate that new connections are shown.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads the files again. What cannot be used changes nothing.
    pub(crate) fn reload(&self, source: &Source) -> anyhow::Result<()> {
        if let Source::Files { .. } = source {
            let certificate = source.certificate()?;
            *self.certificate.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
        }
        Ok(())
    }
}

impl Source {
    /// Reads or makes the certificate.
    pub(crate) fn load(&self) -> anyhow::Result<Tls> {
        let certificate = Arc::new(Current(RwLock::new(self.certificate()?)));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Current>::clone(&certificate));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), certificate })
    }

    fn certificate(&self) -> anyhow::Result<Arc<CertifiedKey>> {
        let (chain, key) = match self {
            Self::Files { cert, key } => from_files(cert, key)?,
            Self::SelfSigned(addresses) => self_signed(addresses)?,
        };
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider);
        Ok(Arc::new(certified.context("the certificate and its key do not belong together")?))
    }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn from_files(cert: &str, key: &str) -> anyhow::Result<Pair> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(Path::new(cert))
        .with_context(|| format!("tls.cert_file {cert}"))?
        .collect::<Result<_, _>>()
        .with_context(|| format!("tls.cert_file {cert}"))?;
    if chain.is_empty() {
        bail!("tls.cert_file {cert} holds no certificate in PEM");
    }
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("tls.key_file {key}"))?;
    Ok((chain, key))
}

fn self_signed(addresses: &[IpAddr]) -> anyhow::Result<Pair> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.iter().filter(|a| !a.is_unspecified()).map(ToString::to_string));
    if addresses.iter().any(IpAddr::is_unspecified) {
        // The phone that this is made for opens one of these.
        let interfaces = net::interfaces().context("cannot list the addresses of this machine")?;
        names.extend(interfaces.iter().map(|interface| interface.ip.to_string()));
    }
    let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .map_err(|e| anyhow::anyhow!("cannot make a certificate: {e}"))?;
    Ok((vec![made.cert.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, name: &str, pair: &Pair) -> Source {
        let pem = |label: &str, der: &[u8]| {
            use base64::Engine as _;
            let body = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        let path = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
        std::fs::write(path("cert"), pem("CERTIFICATE", &pair.0[0])).unwrap();
        std::fs::write(path("key"), pem("PRIVATE KEY", pair.1.secret_der())).unwrap();
        Source::Files { cert: path("cert"), key: path("key") }
    }

    #[test]
    fn a_certificate_is_replaced_and_a_broken_one_is_not_taken() {
        let folder = std::env::temp_dir().join(format!("millrace-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let [first, second] = [self_signed(&[]).unwrap(), self_signed(&[]).unwrap()];
        let tls = files(&folder, "a", &first).load().unwrap();
        let shown = || tls.certificate.0.read().unwrap().cert[0].clone();
        assert_eq!(shown(), first.0[0]);
        tls.reload(&files(&folder, "a", &second)).unwrap();
        assert_eq!(shown(), second.0[0]);
        let mixed = (first.0.clone(), second.1.clone_key());
        assert!(tls.reload(&files(&folder, "b", &mixed)).is_err(), "they do not belong together");
        assert!(tls.reload(&Source::Files { cert: "/nowhere".into(), key: "/nowhere".into() }).is_err());
        assert_eq!(shown(), second.0[0]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
