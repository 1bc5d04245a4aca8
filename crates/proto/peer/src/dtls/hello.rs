//! Looking into a ClientHello before a DTLS version is chosen.
//!
//! Clients offer SRTP profiles in their own order, and the DTLS library's 1.3 server takes the first, its 1.2 server
//! AES-256-GCM, and `plain12` whatever is best. So the hello is put together from its fragments (RFC 6347
//! section 4.2.3; post-quantum key shares make it longer than a datagram), read, and handed on whole.

use srtp::Profile;

use super::pieces::Pieces;
use crate::{DtlsVersions, Reject};

/// The longest ClientHello taken, bytes. Chromium's with a post-quantum share has 1,400.
const MAX_HELLO: usize = 8 << 10;
/// Record header, RFC 6347 section 4.1.
const RECORD_HEADER: usize = 13;
/// Handshake header, RFC 6347 section 4.2.2.
const HANDSHAKE_HEADER: usize = 12;
/// Record content type, RFC 5246 section 6.2.1.
const CONTENT_ALERT: u8 = 21;
const CONTENT_HANDSHAKE: u8 = 22;
/// Handshake message type, RFC 5246 section 7.4.
const CLIENT_HELLO: u8 = 1;
/// Extension, RFC 8422 section 5.1.1.
const SUPPORTED_GROUPS: u16 = 10;
/// Extension, RFC 8422 section 5.1.2.
pub(super) const EC_POINT_FORMATS: u16 = 11;
/// Extension, RFC 5246 section 7.4.1.4.1.
const SIGNATURE_ALGORITHMS: u16 = 13;
/// Extension, RFC 5764 section 9.
pub(super) const USE_SRTP: u16 = 14;
/// Extension, RFC 7627 section 5.1.
pub(super) const EXTENDED_MASTER_SECRET: u16 = 23;
/// Extension, RFC 5746 section 3.2.
pub(super) const RENEGOTIATION_INFO: u16 = 0xff01;
/// `secp256r1`, RFC 8422 section 5.1.1.
const P256: u16 = 23;
/// `ecdsa_secp256r1_sha256`, RFC 8446 section 4.2.3.
const ECDSA_SHA256: u16 = 0x0403;
/// ECDHE with ECDSA and AES-128-GCM.
const SUITE_PLAIN: u16 = 0xc02b;
/// Stands for an empty [`RENEGOTIATION_INFO`], RFC 5746 section 3.3.
const SUITE_RENEGOTIATION: u16 = 0x00ff;
/// Extension, RFC 8446 section 4.2.1.
const SUPPORTED_VERSIONS: u16 = 43;
/// DTLS 1.2 on the wire, RFC 6347 section 4.1.
const DTLS_1_2: u16 = 0xfefd;
/// DTLS 1.3 on the wire, RFC 9147 section 4.
const DTLS_1_3: u16 = 0xfefc;
/// The DTLS library's suites for 1.2: ECDHE with ECDSA and AES-128-GCM, AES-256-GCM or ChaCha20-Poly1305.
const SUITES_1_2: [u16; 3] = [0xc02b, 0xc02c, 0xcca9];

/// Fatal alerts, RFC 5246 section 7.2.
const ALERT_HANDSHAKE_FAILURE: u8 = 40;
const ALERT_PROTOCOL_VERSION: u8 = 70;

/// Ours, best first: the longer key protects nothing that the shorter one does not, and costs every packet more.
const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];
/// The same, as the library's 1.2 server has them.
const LIBRARY_1_2: [Profile; 3] = [Profile::AeadAes256Gcm, Profile::AeadAes128Gcm, Profile::Aes128CmSha1_80];

/// How to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// DTLS 1.2 by the library, for clients that lack what `plain12` has.
    V12,
    V13,
    /// DTLS 1.2 by `plain12`, which takes RSA certificates.
    Plain12,
}

/// There is no common way: the alert that says which kind is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoWay(u8);

impl NoWay {
    /// The alert as a datagram.
    pub(super) fn datagram(self) -> Vec<u8> {
        // Fatal, in the first record of epoch 0.
        let [v0, v1] = DTLS_1_2.to_be_bytes();
        vec![CONTENT_ALERT, v0, v1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, self.0]
    }
}

/// A ClientHello on its way in.
#[derive(Debug, Default)]
pub(super) struct Reassembly(Pieces);

/// A ClientHello that is all there.
#[derive(Debug)]
pub(super) struct Hello {
    /// One datagram with one record with the whole message: what the fragments said.
    pub(super) datagram: Vec<u8>,
    pub(super) offer: Offer,
    pub(super) client: Client,
}

/// What `plain12` has to know of a client.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) random: [u8; 32],
    /// The hello without its header.
    pub(super) body: Vec<u8>,
    /// The best one that both have.
    pub(super) profile: Option<Profile>,
    /// It has said [`RENEGOTIATION_INFO`] and [`EC_POINT_FORMATS`]: no server says what its client has not.
    pub(super) renegotiation_info: bool,
    pub(super) point_formats: bool,
}

/// What a ClientHello offers, as far as the choice of version goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) v12: bool,
    pub(super) v13: bool,
    /// In the client's order.
    pub(super) profiles: Vec<Profile>,
    /// A suite that the library has for 1.2.
    usable: bool,
    /// All that `plain12` needs: its suite, group and signature, and the extended master secret. Which kind a client's
    /// certificate is, it does not say before it is asked for it: all who can get what takes either kind.
    plain: bool,
    renegotiation_info: bool,
    point_formats: bool,
}

impl Reassembly {
    /// Takes a datagram; gives the hello when its last byte has come.
    pub(super) fn take(&mut self, datagram: &[u8]) -> Result<Option<Hello>, Reject> {
        let mut rest = datagram;
        let mut found = false;
        while let Some((record, tail)) = split_record(rest) {
            rest = tail;
            if let Some(fragment) = Fragment::parse(record) {
                self.add(&fragment)?;
                found = true;
                if let Some(body) = self.0.whole() {
                    let offer = Offer::parse(body).ok_or(Reject::Malformed)?;
                    let random = body.get(2..34).and_then(|r| r.try_into().ok());
                    let client = Client {
                        random: random.ok_or(Reject::Malformed)?,
                        profile: offer.first_of(&PROFILES),
                        body: body.to_vec(),
                        renegotiation_info: offer.renegotiation_info,
                        point_formats: offer.point_formats,
                    };
                    return Ok(Some(Hello { datagram: rebuild(body), offer, client }));
                }
            }
        }
        if found { Ok(None) } else { Err(Reject::Unexpected) }
    }

    fn add(&mut self, fragment: &Fragment<'_>) -> Result<(), Reject> {
        if fragment.total > MAX_HELLO || fragment.total == 0 {
            return Err(Reject::Limit);
        }
        if fragment.total != self.0.total() {
            // The first one, or a client that started anew.
            self.0 = Pieces::of(fragment.total);
        }
        self.0.add(fragment.offset, fragment.bytes)
    }
}

/// A fragment of a ClientHello that is the first message of an epoch 0.
struct Fragment<'a> {
    total: usize,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    fn parse(record: &'a [u8]) -> Option<Self> {
        let (header, body) = record.split_at_checked(RECORD_HEADER)?;
        let epoch = be(header.get(3..5)?);
        if *header.first()? != CONTENT_HANDSHAKE || epoch != 0 {
            return None;
        }
        let (handshake, bytes) = body.split_at_checked(HANDSHAKE_HEADER)?;
        let sequence = be(handshake.get(4..6)?);
        if *handshake.first()? != CLIENT_HELLO || sequence != 0 {
            return None;
        }
        let bytes = bytes.get(..be(handshake.get(9..12)?))?;
        Some(Self { total: be(handshake.get(1..4)?), offset: be(handshake.get(6..9)?), bytes })
    }
}

/// The first record of a datagram, and what follows it.
fn split_record(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = be(datagram.get(11..RECORD_HEADER)?);
    datagram.split_at_checked(RECORD_HEADER + length)
}

/// One datagram with the whole hello in one record. The transcript hash does not see how it was cut
/// (RFC 6347 section 4.2.6, RFC 9147 section 5.2), and no window is kept for plaintext records.
fn rebuild(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
    let record = u16::try_from(body.len() + HANDSHAKE_HEADER).unwrap_or(0).to_be_bytes();
    let mut out = Vec::with_capacity(RECORD_HEADER + HANDSHAKE_HEADER + body.len());
    out.push(CONTENT_HANDSHAKE);
    out.extend_from_slice(&DTLS_1_2.to_be_bytes());
    // Epoch 0, sequence number 0.
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&record);
    out.push(CLIENT_HELLO);
    out.extend_from_slice(&length[1..]);
    // Message sequence 0, fragment offset 0.
    out.extend_from_slice(&[0; 5]);
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(body);
    out
}

impl Offer {
    /// Reads a ClientHello's body, RFC 5246 section 7.4.1.2 with the cookie of RFC 6347 section 4.2.1.
    fn parse(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        let legacy = be(body.take(2)?);
        body.take(32)?;
        let _session = body.vector(1)?;
        let _cookie = body.vector(1)?;
        let suites = body.vector(2)?;
        let _compression = body.vector(1)?;
        let mut offer = Self::default();
        let mut versions = None;
        let mut has = [false; 3];
        // Extensions may be missing altogether.
        let mut extensions = Reader(body.vector(2).unwrap_or_default());
        while !extensions.0.is_empty() {
            let kind = be(extensions.take(2)?);
            let mut data = Reader(extensions.vector(2)?);
            match u16::try_from(kind).ok()? {
                SUPPORTED_VERSIONS => versions = Some(data.vector(1)?),
                USE_SRTP => {
                    let ids = pairs(data.vector(2)?);
                    offer.profiles = ids.filter_map(Profile::from_id).collect();
                }
                SUPPORTED_GROUPS => has[0] = pairs(data.vector(2)?).any(|group| group == P256),
                SIGNATURE_ALGORITHMS => has[1] = pairs(data.vector(2)?).any(|a| a == ECDSA_SHA256),
                EXTENDED_MASTER_SECRET => has[2] = true,
                RENEGOTIATION_INFO => offer.renegotiation_info = true,
                EC_POINT_FORMATS => offer.point_formats = true,
                _ => {}
            }
        }
        let offers = |wanted: &[u16]| pairs(suites).any(|suite| wanted.contains(&suite));
        offer.plain = has == [true; 3] && offers(&[SUITE_PLAIN]);
        offer.usable = offers(&SUITES_1_2);
        offer.renegotiation_info |= offers(&[SUITE_RENEGOTIATION]);
        match versions {
            Some(list) => {
                offer.v12 = pairs(list).any(|v| v == DTLS_1_2);
                offer.v13 = pairs(list).any(|v| v == DTLS_1_3);
            }
            None => offer.v12 = legacy == usize::from(DTLS_1_2),
        }
        Some(offer)
    }

    /// The first profile of `order` that is offered.
    fn first_of(&self, order: &[Profile]) -> Option<Profile> {
        order.iter().find(|profile| self.profiles.contains(profile)).copied()
    }

    /// How to answer: by the version that leads to the best profile, and the newest of those.
    pub(super) fn choose(&self, ours: DtlsVersions) -> Result<Version, NoWay> {
        let says12 = self.v12 && ours != DtlsVersions::Only13;
        let v12 = says12 && (self.usable || self.plain);
        let v13 = self.v13 && ours != DtlsVersions::Only12;
        let by_12 = if self.plain { Version::Plain12 } else { Version::V12 };
        match (v12, v13) {
            (false, false) if says12 => Err(NoWay(ALERT_HANDSHAKE_FAILURE)),
            (false, false) => Err(NoWay(ALERT_PROTOCOL_VERSION)),
            (true, false) => Ok(by_12),
            (false, true) => Ok(Version::V13),
            (true, true) => {
                let by_order = if self.plain { &PROFILES } else { &LIBRARY_1_2 };
                // Without a profile in common none is better.
                let place = |profile: Option<Profile>| PROFILES.iter().position(|p| Some(*p) == profile);
                let gains = place(self.first_of(by_order)) < place(self.profiles.first().copied());
                Ok(if gains { by_12 } else { Version::V13 })
            }
        }
    }
}

/// Whether a ServerHello's body is well-formed to its end, RFC 5246 section 7.4.1.3.
pub(super) fn is_server_hello(body: &[u8]) -> bool {
    let mut body = Reader(body);
    // Version and random; session id; cipher suite and compression method.
    let fixed = body.take(2 + 32).and_then(|_| body.vector(1)).and_then(|_| body.take(2 + 1));
    let extensions = if body.0.is_empty() { Some(&[][..]) } else { body.vector(2) };
    let (Some(_), Some(extensions)) = (fixed, extensions) else { return false };
    let mut extensions = Reader(extensions);
    while !extensions.0.is_empty() {
        if extensions.take(2).and_then(|_| extensions.vector(2)).is_none() {
            return false;
        }
    }
    body.0.is_empty()
}

/// Big-endian number of up to three bytes.
fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    /// A vector with its length in front, in `width` bytes.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let len = be(self.take(width)?);
        self.take(len)
    }
}
