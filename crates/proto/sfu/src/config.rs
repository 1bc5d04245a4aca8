//! What a router may be told by a configuration file.

use std::time::Duration;

/// Limits and intervals of one router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// One byte of RTP padding where it makes a frame's packets equal in size, so that they are one GSO
    /// run (sizes within a frame differ by at most one byte).
    pub equalise: bool,
    /// How long a packet stays answerable to a NACK.
    pub cache_time: Duration,
    /// Bytes one encoding's cache may hold.
    pub cache_bytes: usize,
    /// Packets of a picture that one encoding's cache may hold.
    pub cache_video_packets: usize,
    /// The same for sound.
    pub cache_audio_packets: usize,
    /// Least time between two key frame requests for a track's lowest encoding.
    pub key_frame_interval_low: Duration,
    /// The same for the second of three encodings.
    pub key_frame_interval_mid: Duration,
    /// The same for the highest encoding, and for one that is alone.
    pub key_frame_interval_high: Duration,
    /// Time between sender reports to a subscriber.
    pub sender_report_interval: Duration,
    /// Time between receiver reports to a publisher.
    pub receiver_report_interval: Duration,
    /// Time between two [`crate::Event::AudioLevel`] of one track.
    pub audio_interval: Duration,
    /// -dBov up to which a packet counts as speech.
    pub audio_active_level: u8,
    /// Bytes of data channel messages that wait in one peer's queue for its congestion window.
    pub data_queue_bytes: usize,
    /// Events that wait for the driver before data channels are no longer read.
    pub event_queue: usize,
    /// Fit what subscribers are sent to what their lines carry.
    pub adapt: bool,
    /// What is common to all transports.
    pub transport: peer::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            equalise: true,
            cache_time: Duration::from_millis(1000),
            cache_bytes: 2 << 20,
            cache_video_packets: usize::MAX,
            cache_audio_packets: usize::MAX,
            key_frame_interval_low: Duration::from_millis(500),
            key_frame_interval_mid: Duration::from_millis(1000),
            key_frame_interval_high: Duration::from_millis(1000),
            sender_report_interval: Duration::from_secs(3),
            receiver_report_interval: Duration::from_secs(1),
            audio_interval: Duration::from_millis(400),
            audio_active_level: 35,
            // A sender is faster than its receivers' congestion windows: a file of some megabytes is to fit. The
            // messages themselves are shared by all who wait for them.
            data_queue_bytes: 16 << 20,
            event_queue: 4096,
            adapt: true,
            transport: peer::Config::default(),
        }
    }
}
