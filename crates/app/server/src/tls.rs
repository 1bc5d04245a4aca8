//! Certificates for HTTPS: from files, or made for a day of development.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
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

impl Source {
    /// Reads or makes the certificate.
    pub(crate) fn load(&self) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let (chain, key) = match self {
            Self::Files { cert, key } => from_files(cert, key)?,
            Self::SelfSigned(addresses) => self_signed(addresses)?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the certificate and its key do not belong together")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
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
