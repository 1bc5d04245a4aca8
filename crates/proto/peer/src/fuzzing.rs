//! DTLS without ICE in front of it, as fuzz targets drive it. Compiled for them alone.

use clock::Time;

use crate::dtls::{Dtls, Notice};
use crate::{Certificate, DtlsRole, DtlsVersions, Fingerprint};

/// One end of an association.
pub struct Association {
    dtls: Dtls,
    /// The outcome of the handshake: the SRTP profile, if there is one.
    pub connected: Option<Option<srtp::Profile>>,
    /// Plaintext that came.
    pub heard: Vec<Vec<u8>>,
}

impl Association {
    /// The server, as it is in production.
    pub fn server(ours: &Certificate, theirs: Fingerprint) -> Self {
        Self::new(ours, theirs, DtlsVersions::Any, DtlsRole::Server)
    }

    /// A client of DTLS 1.2.
    pub fn client(ours: &Certificate, theirs: Fingerprint) -> Self {
        Self::new(ours, theirs, DtlsVersions::Only12, DtlsRole::Client)
    }

    fn new(ours: &Certificate, theirs: Fingerprint, versions: DtlsVersions, role: DtlsRole) -> Self {
        let mut dtls = Dtls::new(ours.clone(), versions);
        dtls.set_remote(role, &[theirs]);
        Self { dtls, connected: None, heard: Vec::new() }
    }

    /// Sends the first flight, if it is the client.
    pub fn start(&mut self, now: Time) {
        self.dtls.start(now);
    }

    /// A datagram of anybody's.
    pub fn handle(&mut self, now: Time, datagram: &[u8]) {
        let _ = self.dtls.handle(now, datagram);
        self.look();
    }

    /// Time has gone by.
    pub fn handle_timeout(&mut self, now: Time) {
        self.dtls.handle_timeout(now);
        self.look();
    }

    /// Seals plaintext.
    pub fn send(&mut self, now: Time, data: &[u8]) {
        self.dtls.send(now, data);
    }

    /// Everything that is to be sent.
    pub fn sends(&mut self) -> Vec<Vec<u8>> {
        let mut buf = vec![0; 4096];
        let mut all = Vec::new();
        while let Some(len) = self.dtls.poll_transmit(&mut buf) {
            all.push(buf[..len].to_vec());
        }
        all
    }

    fn look(&mut self) {
        while let Some(notice) = self.dtls.poll_notice() {
            match notice {
                Notice::Connected(keys) => self.connected = Some(keys.map(|keys| keys.profile)),
                Notice::Data(data) => self.heard.push(data.to_vec()),
                Notice::Over(_) => {}
            }
        }
    }
}
