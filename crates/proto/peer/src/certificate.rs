//! The certificate by which one server is known.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

use crate::Fingerprint;

/// The certificate could not be made, or is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Key or certificate generation failed.
    #[error("cannot generate a certificate: {0}")]
    Generate(String),
    /// The DTLS library refuses its configuration.
    #[error("cannot configure DTLS: {0}")]
    Configure(String),
}

/// First retransmission of a DTLS flight. RFC 9147 section 5.8.2 allows less than the second of RFC 6347
/// where round trips are short, as between a meeting's user and its server.
pub(crate) const FLIGHT_RTO: Duration = Duration::from_millis(250);
/// Doublings of [`FLIGHT_RTO`]: the last flight leaves after 15.75 s.
pub(crate) const FLIGHT_RETRIES: usize = 6;
/// A handshake takes no longer than this.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Datagrams that one flight, or one burst of data before it is polled, may have.
const MAX_QUEUE_TX: usize = 32;
/// UDP payload of handshake datagrams, bytes: fits IPv6's minimum MTU of 1280.
pub(crate) const MTU: usize = 1200;

/// A self-signed ECDSA P-256 certificate with its key, made once and shared by all transports. Cloning is
/// cheap.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    pair: dimpl::DtlsCertificate,
    fingerprint: Fingerprint,
    /// Building it runs the library's self-tests, so it is built once.
    dtls: Arc<dimpl::Config>,
}

impl Certificate {
    /// Makes a new one. The validity dates and the serial number come from the system's clock and random
    /// source.
    pub fn generate() -> Result<Self, CertificateError> {
        let pair = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|e| CertificateError::Generate(e.to_string()))?;
        // No cookie exchange: nothing of DTLS is looked at before its address has answered a connectivity
        // check with our password, which proves more than a cookie does.
        let dtls = dimpl::Config::builder();
        // Else the library's own jitter would make of one seed many runs.
        #[cfg(test)]
        let dtls = dtls.dangerously_set_rng_seed(1);
        let dtls = dtls
            .mtu(MTU)
            .max_queue_tx(MAX_QUEUE_TX)
            .use_server_cookie(false)
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .build()
            .map_err(|e| CertificateError::Configure(e.to_string()))?;
        let fingerprint = fingerprint_of(&pair.certificate);
        Ok(Self { inner: Arc::new(Inner { pair, fingerprint, dtls: Arc::new(dtls) }) })
    }

    /// What signalling tells the far end.
    pub fn fingerprint(&self) -> Fingerprint {
        self.inner.fingerprint
    }

    pub(crate) fn pair(&self) -> dimpl::DtlsCertificate {
        self.inner.pair.clone()
    }

    pub(crate) fn dtls_config(&self) -> Arc<dimpl::Config> {
        Arc::clone(&self.inner.dtls)
    }
}

impl fmt::Debug for Certificate {
    /// The key is a secret: only the fingerprint is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.inner.fingerprint)
    }
}

/// SHA-256 over a certificate in DER.
pub(crate) fn fingerprint_of(der: &[u8]) -> Fingerprint {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    Fingerprint(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_certificates_differ_and_debug_shows_no_key() {
        let (a, b) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.fingerprint(), a.clone().fingerprint());
        assert_eq!(format!("{a:?}"), format!("Certificate({})", a.fingerprint()));
    }
}
