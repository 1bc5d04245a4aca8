//! One DTLS association with its library. This file is the seam: another backend is another variant.

use std::sync::Arc;

use clock::Time;

use super::hello::{self, Hello, Version};
use super::plain12::{Server, Told};
use crate::certificate::fingerprint_of;
use crate::{Certificate, DtlsRole, DtlsVersions, Fingerprint};

/// What a session tells; always polled until `Idle`.
pub(super) enum Output<'a> {
    /// To be sent.
    Packet(&'a [u8]),
    /// The far end's certificate.
    Peer(Fingerprint),
    /// Exported keying material (RFC 5764 section 4.2).
    Keys(srtp::Profile, dimpl::KeyingMaterial),
    /// The handshake is complete.
    Connected,
    /// Plaintext from the far end.
    Data(&'a [u8]),
    /// close_notify.
    Closed,
    /// The buffer is too short for what comes next.
    TooShort,
    /// Nothing more until the given time.
    Idle(std::time::Instant),
}

/// The association cannot go on.
#[derive(Debug)]
pub(super) struct Broken;

pub(super) enum Session {
    Dimpl {
        dtls: Box<dimpl::Dtls>,
        /// A client that offers both versions: until the server's first message tells which it is, the
        /// library takes anything else as fatal.
        unsettled: bool,
    },
    /// For clients that may have RSA certificates.
    Plain12(Box<Server>),
}

impl Session {
    /// The second is whether the hello has been answered already.
    pub(super) fn server(
        now: Time,
        certificate: &Certificate,
        version: Version,
        hello: &Hello,
    ) -> Result<(Self, bool), Broken> {
        let (config, pair) = (certificate.dtls_config(), certificate.pair());
        let dtls = match version {
            Version::V12 => dimpl::Dtls::new_12(config, pair, now.mono),
            Version::V13 => dimpl::Dtls::new_13(config, pair, now.mono),
            Version::Plain12 => {
                let server = Server::new(now, certificate, &hello.client)?;
                return Ok((Self::Plain12(Box::new(server)), true));
            }
        };
        Ok((Self::Dimpl { dtls: Box::new(dtls), unsettled: false }, false))
    }

    pub(super) fn client(now: Time, certificate: &Certificate, versions: DtlsVersions) -> Self {
        let (config, pair): (Arc<dimpl::Config>, _) = (certificate.dtls_config(), certificate.pair());
        let mut dtls = match versions {
            DtlsVersions::Any => dimpl::Dtls::new_auto(config, pair, now.mono),
            DtlsVersions::Only12 => dimpl::Dtls::new_12(config, pair, now.mono),
            DtlsVersions::Only13 => dimpl::Dtls::new_13(config, pair, now.mono),
        };
        dtls.set_active(true);
        Self::Dimpl { dtls: Box::new(dtls), unsettled: versions == DtlsVersions::Any }
    }

    pub(super) fn role(&self) -> DtlsRole {
        match self {
            Self::Dimpl { dtls, .. } if dtls.is_active() => DtlsRole::Client,
            Self::Dimpl { .. } | Self::Plain12(_) => DtlsRole::Server,
        }
    }

    pub(super) fn handle(&mut self, now: Time, datagram: &[u8]) -> Result<(), Broken> {
        let (dtls, unsettled) = match self {
            Self::Dimpl { dtls, unsettled } => (dtls, unsettled),
            Self::Plain12(server) => return server.handle(now, datagram),
        };
        if *unsettled {
            if !settles(datagram) {
                return Ok(());
            }
            *unsettled = false;
        }
        // The library reads the time only here.
        dtls.handle_timeout(now.mono).map_err(|_| Broken)?;
        dtls.handle_packet(datagram).map_err(|_| Broken)
    }

    pub(super) fn handle_timeout(&mut self, now: Time) -> Result<(), Broken> {
        match self {
            Self::Dimpl { dtls, .. } => dtls.handle_timeout(now.mono).map_err(|_| Broken),
            Self::Plain12(server) => server.handle_timeout(now),
        }
    }

    pub(super) fn send(&mut self, data: &[u8]) -> Result<(), Broken> {
        match self {
            Self::Dimpl { dtls, .. } => dtls.send_application_data(data).map(|_| ()).map_err(|_| Broken),
            Self::Plain12(server) => server.send(data),
        }
    }

    pub(super) fn close(&mut self) {
        match self {
            // An association that is broken has nobody to tell.
            Self::Dimpl { dtls, .. } => drop(dtls.close()),
            Self::Plain12(server) => server.close(),
        }
    }

    pub(super) fn poll<'a>(&mut self, now: Time, buf: &'a mut [u8]) -> Output<'a> {
        let dtls = match self {
            Self::Dimpl { dtls, .. } => dtls,
            Self::Plain12(server) => return poll_plain(server, now, buf),
        };
        match dtls.poll_output(buf) {
            dimpl::Output::Packet(packet) => Output::Packet(packet),
            dimpl::Output::BufferTooSmall { .. } => Output::TooShort,
            dimpl::Output::Timeout(at) => Output::Idle(at),
            dimpl::Output::Connected => Output::Connected,
            dimpl::Output::PeerCert(der) => Output::Peer(fingerprint_of(der)),
            dimpl::Output::KeyingMaterial(material, profile) => Output::Keys(profile_of(profile), material),
            dimpl::Output::ApplicationData(data) => Output::Data(data),
            dimpl::Output::CloseNotify => Output::Closed,
            // A kind that the pinned version does not have.
            _ => Output::Idle(now.mono),
        }
    }
}

fn poll_plain<'a>(server: &mut Server, now: Time, buf: &'a mut [u8]) -> Output<'a> {
    let fits = |bytes: &[u8]| bytes.len() <= buf.len();
    match server.poll() {
        Some(told @ (Told::Packet(_) | Told::Data(_))) if !matches!(&told, Told::Packet(bytes) | Told::Data(bytes) if fits(bytes)) =>
        {
            server.put_back(told);
            Output::TooShort
        }
        Some(Told::Packet(packet)) => Output::Packet(copied(&packet, buf)),
        Some(Told::Data(data)) => Output::Data(copied(&data, buf)),
        Some(Told::Peer(der)) => Output::Peer(fingerprint_of(&der)),
        Some(Told::Connected) => Output::Connected,
        Some(Told::Keys(profile, material)) => Output::Keys(profile, material),
        Some(Told::Closed) => Output::Closed,
        None => Output::Idle(server.deadline(now)),
    }
}

/// The front of `buf`, with `bytes` in it as far as there is room.
fn copied<'a>(bytes: &[u8], buf: &'a mut [u8]) -> &'a [u8] {
    let len = bytes.len().min(buf.len());
    let (front, _) = buf.split_at_mut(len);
    for (to, from) in front.iter_mut().zip(bytes) {
        *to = *from;
    }
    front
}

fn profile_of(profile: dimpl::SrtpProfile) -> srtp::Profile {
    match profile {
        dimpl::SrtpProfile::AEAD_AES_256_GCM => srtp::Profile::AeadAes256Gcm,
        dimpl::SrtpProfile::AEAD_AES_128_GCM => srtp::Profile::AeadAes128Gcm,
        // The pinned version has three.
        _ => srtp::Profile::Aes128CmSha1_80,
    }
}

/// Whether a datagram starts with a whole, well-formed ServerHello or HelloVerifyRequest, by which a client
/// learns the version: a plaintext handshake record (RFC 6347 section 4.1) in one fragment. The library walks
/// a ServerHello's extensions without looking where they end.
fn settles(datagram: &[u8]) -> bool {
    let record = match datagram {
        [22, 0xfe, _, 0, 0, _, _, _, _, _, _, high, low, record @ ..] => {
            record.get(..usize::from(u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    };
    match record {
        Some([kind @ (2 | 3), t0, t1, t2, _, _, 0, 0, 0, f0, f1, f2, body @ ..])
            if [t0, t1, t2] == [f0, f1, f2] =>
        {
            let length = usize::from(*f0) << 16 | usize::from(*f1) << 8 | usize::from(*f2);
            body.get(..length).is_some_and(|body| *kind == 3 || hello::is_server_hello(body))
        }
        _ => false,
    }
}
