//! What a router is told and what it tells: plain data, the same whether it comes from a test in virtual
//! time, from a mailbox or from the far end of a ring.

use bytes::Bytes;
use peer::{Candidate, Credentials, Fingerprint, LocalTransport, RemoteTransport};
use rtp::ext::PlayoutDelay;
use rtp::{Bitrate, Mid, Pt, Rid, Ssrc};

/// A participant's transport. The top byte is the index of its home worker; the rest is unique in the
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// A published track; the top byte is its home worker, as in [`PeerId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProducerId(pub u64);

/// One track on its way to one subscriber; the top byte is its home worker, as in [`PeerId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub u64);

/// Builds the id of something that lives on `worker`.
pub fn id_on(worker: u8, serial: u64) -> u64 {
    (u64::from(worker) << 56) | (serial & 0x00ff_ffff_ffff_ffff)
}

/// The worker that an id's owner lives on.
pub fn worker_of(id: u64) -> u8 {
    (id >> 56) as u8
}

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Audio,
    Video,
}

/// A codec as negotiated with one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecParams {
    /// Which codec.
    pub codec: codec::Kind,
    /// Its payload type with this peer.
    pub pt: Pt,
    /// The payload type of its RTX (RFC 4588), if negotiated.
    pub rtx: Option<Pt>,
    /// RTP clock in Hz.
    pub clock_rate: u32,
    /// Generic NACK negotiated (RFC 4585 section 6.2.1).
    pub nack: bool,
    /// Format parameters that tell two entries of one codec apart (an H.264 profile-level-id and
    /// packetization-mode, a VP9 profile-id), lower-case, as in SDP.
    pub fmtp: String,
}

/// What a subscriber is sent of packet trailers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trailers {
    /// It does not read them.
    #[default]
    None,
    /// Nobody knows whether it reads them: those behind pictures whose decoders pass over them.
    Harmless,
    /// It reads them.
    All,
}

impl Trailers {
    /// Whether those behind pictures of this codec go along.
    pub fn keeps(self, codec: codec::Kind) -> bool {
        match self {
            Self::None => false,
            Self::Harmless => matches!(codec, codec::Kind::Vp8 | codec::Kind::H264),
            Self::All => true,
        }
    }
}

/// What a router gives up of publishers' media when there is more than it can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Shed {
    #[default]
    Nothing,
    Video,
    /// Video and sound.
    Media,
}

/// One encoding of a published track: a simulcast layer, or the whole track.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Named by rid, where simulcast is.
    pub rid: Option<Rid>,
    /// Known from `a=ssrc` lines, else learned from mid and rid extensions.
    pub ssrc: Option<Ssrc>,
    /// The RTX stream of `ssrc`.
    pub rtx_ssrc: Option<Ssrc>,
}

/// A track to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerParams {
    /// Audio or video.
    pub kind: Kind,
    /// The m-section it comes in.
    pub mid: Option<Mid>,
    /// Lowest layer first.
    pub encodings: Vec<Encoding>,
    /// Codecs this section may send.
    pub codecs: Vec<CodecParams>,
    /// Several spatial layers inside one encoding (SVC).
    pub svc: bool,
    /// `transport-cc` was negotiated; else REMB.
    pub transport_cc: bool,
}

/// Header extension ids (RFC 8285) as negotiated with one peer. `None` means not negotiated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    pub mid: Option<u8>,
    pub rid: Option<u8>,
    pub repaired_rid: Option<u8>,
    pub abs_send_time: Option<u8>,
    pub transport_cc: Option<u8>,
    pub audio_level: Option<u8>,
    pub video_orientation: Option<u8>,
    pub playout_delay: Option<u8>,
    pub dependency_descriptor: Option<u8>,
    pub abs_capture_time: Option<u8>,
}

/// A track to send to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerParams {
    /// The m-section it goes out in.
    pub mid: Mid,
    /// Our SSRC for it.
    pub ssrc: Ssrc,
    /// Our SSRC for its retransmissions.
    pub rtx_ssrc: Option<Ssrc>,
    /// The subscriber's payload types.
    pub codecs: Vec<CodecParams>,
    /// Extension ids the subscriber accepts in this section.
    pub extensions: ExtensionIds,
    /// Bounds that all of the track's packets tell the subscriber's buffer, in place of the publisher's.
    pub playout_delay: Option<PlayoutDelay>,
    /// Behind which pictures that goes along which stands there ([`codec::trailer`]); behind others it is taken off.
    pub trailers: Trailers,
    /// What is wanted at first.
    pub wish: Wish,
}

/// What a subscriber asked for (`track_setting`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Forward nothing.
    pub paused: bool,
    /// Highest spatial layer, 0 the lowest.
    pub max_spatial: u8,
    /// Highest temporal layer.
    pub max_temporal: u8,
    /// Order in which tracks give way, larger is more important.
    pub priority: u32,
}

/// A data channel's reliability, RFC 8832 section 5.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelParams {
    pub label: String,
    pub ordered: bool,
    pub max_retransmits: Option<u16>,
    /// Agreed out of band (no DCEP open); `None` opens by DCEP.
    pub negotiated_id: Option<u16>,
}

/// What a router is told to do. A command about an unknown id is ignored and counted: its owner has gone
/// while the command was on its way.
#[derive(Debug, Clone)]
pub enum Command {
    /// A transport to wait for, or to connect.
    OpenPeer {
        peer: PeerId,
        local: LocalTransport,
    },
    /// The far end's description; the first one starts DTLS, a later one with other credentials
    /// restarts ICE.
    SetRemote {
        peer: PeerId,
        remote: RemoteTransport,
    },
    /// A trickled candidate of the far end.
    AddCandidate {
        peer: PeerId,
        candidate: Candidate,
    },
    /// New local credentials for an ICE restart.
    RestartIce {
        peer: PeerId,
        credentials: Credentials,
    },
    /// Ids with which the peer sends.
    SetReceiveExtensions {
        peer: PeerId,
        extensions: ExtensionIds,
    },
    /// Send DTLS close_notify and forget it, with its producers and consumers.
    ClosePeer {
        peer: PeerId,
    },
    AddProducer {
        peer: PeerId,
        producer: ProducerId,
        params: ProducerParams,
    },
    UpdateProducer {
        producer: ProducerId,
        params: ProducerParams,
    },
    RemoveProducer {
        producer: ProducerId,
    },
    /// The producer may live on another worker.
    AddConsumer {
        peer: PeerId,
        consumer: ConsumerId,
        producer: ProducerId,
        params: ConsumerParams,
    },
    SetWish {
        consumer: ConsumerId,
        wish: Wish,
    },
    RemoveConsumer {
        consumer: ConsumerId,
    },
    /// Whether tracks may be held back altogether where the peer's line does not carry them; otherwise each
    /// keeps its lowest layer.
    AllowPause {
        peer: PeerId,
        allowed: bool,
    },
    /// Nothing above this goes to the peer, whatever its line carries; `None` ends that.
    LimitBandwidth {
        peer: PeerId,
        limit: Option<Bitrate>,
    },
    OpenChannel {
        peer: PeerId,
        params: ChannelParams,
    },
    /// One message to many; `label` names the channel with each. Order is kept per peer and channel.
    SendData {
        peers: Vec<PeerId>,
        label: &'static str,
        payload: Bytes,
    },
}

/// What a router tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// ICE, DTLS and keys are there (again).
    Connected { peer: PeerId },
    /// No consent for a while; may come back.
    Disconnected { peer: PeerId },
    /// Gone: a DTLS error, wrong fingerprint, close_notify or no consent for long.
    Failed { peer: PeerId, reason: FailReason },
    /// Opened by either side.
    ChannelOpen { peer: PeerId, label: String },
    /// A data channel message. Per peer and channel in the order it came.
    Data { peer: PeerId, label: String, payload: Bytes },
    /// First packet of an encoding: which codec it really is, and which layer (index in `encodings`).
    EncodingStarted { producer: ProducerId, encoding: u8, codec: codec::Kind },
    /// Loudest level in the last interval, in -dBov (0 loudest, 127 silence; RFC 6464), and the
    /// share of the interval in which it was at most the active threshold, in percent.
    AudioLevel { producer: ProducerId, loudest: u8, active_percent: u8 },
    /// What the subscriber now gets; `None` is nothing.
    LayerChanged { consumer: ConsumerId, spatial: Option<u8> },
    /// The subscriber's line does not carry the track, or does again.
    StreamPaused { consumer: ConsumerId, paused: bool },
    /// How well media comes from the peer and gets to it, when that has changed: a score from 0 to 100 of the last
    /// five seconds' losses and round trips.
    Quality { peer: PeerId, quality: Quality, score: u8 },
}

/// What a score means, in LiveKit's steps: above 80, above 40, the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quality {
    Poor,
    Good,
    Excellent,
}

/// Why a transport has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailReason {
    /// No valid check or consent in time.
    IceTimeout,
    /// The handshake failed or timed out.
    Dtls,
    /// The certificate is not the one that was signalled.
    Fingerprint,
    /// The far end said goodbye.
    Closed,
    /// SCTP gave up.
    Sctp,
    /// The worker it was on has begun afresh, without what it had.
    Worker,
}

/// Re-exported so that signalling needs no other crate for a transport's description.
pub type PeerFingerprint = Fingerprint;
