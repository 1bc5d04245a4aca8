//! What a subscriber negotiated for a track, matched with what the publisher sends.

use codec::Kind as Codec;
use rtp::ext::PlayoutDelay;
use rtp::{Form, Mid, Pt, Ssrc, Writer};

use crate::api::{CodecParams, ConsumerParams, ExtensionIds, Trailers};
use crate::consumer::redundancy::REPEATS;

/// How packets of one of the publisher's codecs go to the subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) pt: Pt,
    pub(crate) rtx: Option<Pt>,
    /// The subscriber may ask for packets again.
    pub(crate) nack: bool,
    /// What becomes of redundant audio (RFC 2198).
    pub(crate) red: Redundancy,
    /// What stands behind pictures goes along.
    pub(crate) keeps_trailers: bool,
}

/// What becomes of a packet's redundant audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redundancy {
    /// It has none, or goes on as it came.
    Keep,
    /// The subscriber numbers what is inside in another way than the publisher.
    Renumber { from: Pt, to: Pt },
    /// The subscriber knows the plain codec only: the newest block is sent.
    Primary,
    /// It comes without, and the subscriber has agreed on it: it is made here. What is inside is numbered so.
    Make { inner: Pt },
}

impl Target {
    /// Redundant audio is made here, which takes more room than what came.
    pub(crate) fn makes_redundancy(&self) -> bool {
        matches!(self.red, Redundancy::Make { .. })
    }
}

/// One subscriber's terms.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) mid: Mid,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx_ssrc: Option<Ssrc>,
    pub(crate) ids: ExtensionIds,
    /// The form that holds all ids with short values.
    pub(crate) form: Form,
    /// Told in every packet, in place of what the publisher says.
    pub(crate) playout_delay: Option<[u8; 3]>,
    trailers: Trailers,
    codecs: Vec<CodecParams>,
    /// By index of the publisher's codec.
    targets: Vec<Option<Target>>,
}

impl Route {
    pub(crate) fn new(params: &ConsumerParams) -> Self {
        let ids = params.extensions;
        let used = [
            ids.mid,
            ids.abs_send_time,
            ids.transport_cc,
            ids.audio_level,
            ids.video_orientation,
            ids.playout_delay,
            ids.dependency_descriptor,
            ids.abs_capture_time,
        ];
        let wide = used.into_iter().flatten().any(|id| Writer::form_for(id, 1) == Form::TwoByte);
        Self {
            mid: params.mid,
            ssrc: params.ssrc,
            rtx_ssrc: params.rtx_ssrc,
            ids,
            form: if wide { Form::TwoByte } else { Form::OneByte },
            playout_delay: params.playout_delay.map(PlayoutDelay::bytes),
            trailers: params.trailers,
            codecs: params.codecs.clone(),
            targets: Vec::new(),
        }
    }

    /// Finds the subscriber's payload type for each of the publisher's codecs.
    pub(crate) fn match_codecs(&mut self, publisher: &[CodecParams]) {
        let target = |theirs| target_for(theirs, publisher, &self.codecs, self.trailers);
        self.targets = publisher.iter().map(target).collect();
    }

    /// Reads what composing needs.
    pub(crate) fn warm(&self) -> u64 {
        self.targets.first().copied().flatten().map_or(0, |target| u64::from(target.pt.0))
    }

    pub(crate) fn target(&self, codec: u8) -> Option<Target> {
        self.targets.get(usize::from(codec)).copied().flatten()
    }

    /// How many times each payload goes out.
    pub(crate) fn copies(&self) -> u64 {
        if self.targets.iter().flatten().any(Target::makes_redundancy) { 1 + REPEATS as u64 } else { 1 }
    }

    /// Whether retransmissions are packets of their own.
    pub(crate) fn has_rtx(&self) -> bool {
        self.rtx_ssrc.is_some() && self.codecs.iter().any(|c| c.rtx.is_some())
    }
}

fn target_for(
    theirs: &CodecParams,
    all_theirs: &[CodecParams],
    ours: &[CodecParams],
    trailers: Trailers,
) -> Option<Target> {
    let best = ours.iter().filter(|c| c.codec == theirs.codec);
    // Of equals, the one that the subscriber likes best, which stands first.
    let best = best.rev().max_by_key(|c| likeness(theirs, c)).filter(|c| likeness(theirs, c) > 0);
    let keeps_trailers = trailers.keeps(theirs.codec);
    let target = |c: &CodecParams, red| Target { pt: c.pt, rtx: c.rtx, nack: c.nack, red, keeps_trailers };
    if theirs.codec != Codec::Red {
        let plain = best?;
        let bare = theirs.codec == Codec::Opus && first(all_theirs, Codec::Red).is_none();
        let Some(red) = first(ours, Codec::Red).filter(|_| bare) else {
            return Some(target(plain, Redundancy::Keep));
        };
        // What is lost comes with the next ones. Asked for again it would have to be the same byte for byte, but of
        // what stood before it something may have come or gone since.
        return Some(Target { nack: false, ..target(red, Redundancy::Make { inner: plain.pt }) });
    }
    let inner = plain(ours)?;
    let Some(best) = best else { return Some(target(inner, Redundancy::Primary)) };
    let from = plain(all_theirs)?.pt;
    let red = if from == inner.pt { Redundancy::Keep } else { Redundancy::Renumber { from, to: inner.pt } };
    // A subscriber asks again for numbers, not for payload types, and says of the plain codec that it does.
    Some(Target { nack: best.nack || inner.nack, ..target(best, red) })
}

/// What is inside redundant audio.
pub(crate) fn plain(codecs: &[CodecParams]) -> Option<&CodecParams> {
    first(codecs, Codec::Opus)
}

fn first(codecs: &[CodecParams], codec: Codec) -> Option<&CodecParams> {
    codecs.iter().find(|c| c.codec == codec)
}

/// How well two entries of one codec fit; 0 is not at all.
fn likeness(a: &CodecParams, b: &CodecParams) -> u8 {
    let same =
        |name: &str, default: &str| parameter(&a.fmtp, name, default) == parameter(&b.fmtp, name, default);
    match a.codec {
        _ if a.fmtp == b.fmtp => 4,
        Codec::H264 => {
            // Decoders go by the stream's own parameter sets; how it is cut into packets must be known
            // (RFC 6184 section 8.1).
            let mode = same("packetization-mode", "0");
            let profile = |c: &CodecParams| {
                parameter(&c.fmtp, "profile-level-id", "42e01f").get(..2).map(str::to_owned)
            };
            1 + u8::from(mode) + u8::from(mode && profile(a) == profile(b))
        }
        Codec::Vp9 => 3 * u8::from(same("profile-id", "0")),
        Codec::Av1 => 3 * u8::from(same("profile", "0")),
        _ => 1,
    }
}

fn parameter<'a>(fmtp: &'a str, name: &str, default: &'a str) -> &'a str {
    let pairs = fmtp.split(';').filter_map(|p| p.trim().split_once('='));
    pairs.filter(|(n, _)| *n == name).map(|(_, v)| v).next().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(codec: Codec, pt: u8, fmtp: &str) -> CodecParams {
        CodecParams { codec, pt: Pt(pt), rtx: None, clock_rate: 90_000, nack: true, fmtp: fmtp.into() }
    }

    fn pt(theirs: &CodecParams, ours: &[CodecParams]) -> Option<u8> {
        target_for(theirs, &[], ours, Trailers::None).map(|t| t.pt.0)
    }

    #[test]
    fn h264_is_matched_by_packetization_mode_and_profile() {
        let ours = [
            codec(Codec::Vp8, 96, ""),
            codec(Codec::H264, 102, "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f"),
            codec(Codec::H264, 103, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"),
            codec(Codec::H264, 104, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
        ];
        let theirs = |fmtp| codec(Codec::H264, 127, fmtp);
        assert_eq!(pt(&theirs("profile-level-id=42e01f;packetization-mode=1"), &ours), Some(104));
        assert_eq!(pt(&theirs("profile-level-id=640032;packetization-mode=1"), &ours), Some(103));
        assert_eq!(pt(&theirs("profile-level-id=42e01f"), &ours), Some(102));
        assert_eq!(pt(&theirs("profile-level-id=4d001f;packetization-mode=1"), &ours), Some(103));
        assert_eq!(pt(&codec(Codec::Vp8, 120, ""), &ours), Some(96));
        assert_eq!(pt(&codec(Codec::Av1, 45, ""), &ours), None);
    }

    #[test]
    fn another_vp9_profile_is_another_codec() {
        let ours = [codec(Codec::Vp9, 98, "profile-id=0"), codec(Codec::Vp9, 100, "profile-id=2")];
        assert_eq!(pt(&codec(Codec::Vp9, 1, ""), &ours), Some(98));
        assert_eq!(pt(&codec(Codec::Vp9, 1, "profile-id=2"), &ours), Some(100));
        assert_eq!(pt(&codec(Codec::Vp9, 1, "profile-id=1"), &ours), None);
    }

    #[test]
    fn redundant_audio_is_stripped_for_who_knows_it_not_and_renumbered_for_who_does() {
        let red = codec(Codec::Red, 63, "");
        let theirs = [red.clone(), codec(Codec::Opus, 111, "")];
        let to =
            |ours: &[CodecParams]| target_for(&red, &theirs, ours, Trailers::None).map(|t| (t.pt, t.red));
        let opus = codec(Codec::Opus, 111, "");
        assert_eq!(to(std::slice::from_ref(&opus)), Some((Pt(111), Redundancy::Primary)));
        assert_eq!(to(&[opus, codec(Codec::Red, 64, "")]), Some((Pt(64), Redundancy::Keep)));
        let renumber = Redundancy::Renumber { from: Pt(111), to: Pt(96) };
        assert_eq!(to(&[codec(Codec::Red, 64, ""), codec(Codec::Opus, 96, "")]), Some((Pt(64), renumber)));
        // Redundancy of something that the subscriber does not know.
        assert_eq!(to(&[codec(Codec::Red, 64, "")]), None);
    }

    #[test]
    fn redundant_audio_is_made_for_who_agreed_on_it_where_none_comes() {
        let (red, opus, pcmu) =
            (codec(Codec::Red, 64, ""), codec(Codec::Opus, 96, ""), codec(Codec::Pcmu, 0, ""));
        let of = |theirs: &[CodecParams], ours: &[CodecParams]| {
            target_for(&theirs[0], theirs, ours, Trailers::None).map(|t| (t.pt, t.red, t.nack))
        };
        let theirs = codec(Codec::Opus, 111, "");
        let ours = [red.clone(), opus.clone(), pcmu.clone()];
        let made = Some((Pt(64), Redundancy::Make { inner: Pt(96) }, false));
        assert_eq!(of(std::slice::from_ref(&theirs), &ours), made);
        let kept = |pt| Some((Pt(pt), Redundancy::Keep, true));
        assert_eq!(of(std::slice::from_ref(&theirs), std::slice::from_ref(&opus)), kept(96));
        // Who sends it itself now and then knows when not to.
        assert_eq!(of(&[theirs.clone(), codec(Codec::Red, 63, "")], &ours), kept(96));
        assert_eq!(of(&[pcmu], &ours), kept(0));
        assert_eq!(of(&[theirs], &[red]), None);
    }

    #[test]
    fn redundant_audio_is_sent_again_to_who_asks_for_the_plain_codec_again() {
        let never = |c: CodecParams| CodecParams { nack: false, ..c };
        let red = never(codec(Codec::Red, 63, ""));
        let theirs = [red.clone(), codec(Codec::Opus, 111, "")];
        assert!(target_for(&red, &theirs, &theirs, Trailers::None).unwrap().nack);
        let silent = [red.clone(), never(codec(Codec::Opus, 111, ""))];
        assert!(!target_for(&red, &theirs, &silent, Trailers::None).unwrap().nack);
    }
}
