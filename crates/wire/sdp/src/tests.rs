//! Offers as browsers make them (`testdata/`: printed by `createOffer` in Chromium 156 and Firefox 153,
//! the `v1` ones with three receiving sections a kind, the `publisher` ones with simulcast), what becomes
//! of them when they are damaged, and the round trip of whatever the model can hold.

mod roundtrip;

use ::rtp::{Label, Pt, Rid, Ssrc};

use crate::*;

const CHROMIUM_V1: &str = include_str!("../testdata/chromium-156-v1.sdp");
const CHROMIUM_PUBLISHER: &str = include_str!("../testdata/chromium-156-publisher.sdp");
const FIREFOX_V1: &str = include_str!("../testdata/firefox-153-v1.sdp");
const FIREFOX_PUBLISHER: &str = include_str!("../testdata/firefox-153-publisher.sdp");
const OFFERS: [&str; 4] = [CHROMIUM_V1, CHROMIUM_PUBLISHER, FIREFOX_V1, FIREFOX_PUBLISHER];

fn read(text: &str) -> Session {
    parse(text, &Limits::default()).unwrap()
}

fn error(text: &str) -> (usize, ErrorKind) {
    let error = parse(text, &Limits::default()).unwrap_err();
    (error.line, error.kind)
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// A description of one video section with `lines` in it; the first of them is line 5.
fn video(lines: &str) -> String {
    format!("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n{lines}\r\n")
}

#[test]
fn a_single_peer_connection_offer_of_each_browser_is_understood() {
    for (text, options) in [(CHROMIUM_V1, "trickle"), (FIREFOX_V1, "trickle")] {
        let session = read(text);
        let mids: Vec<&str> = session.bundle().iter().map(Label::as_str).collect();
        assert_eq!(mids, ["0", "1", "2", "3", "4", "5", "6"]);
        let kinds: Vec<&str> = session.sections.iter().map(|section| section.kind.name()).collect();
        assert_eq!(kinds, ["audio", "audio", "audio", "video", "video", "video", "application"]);
        for section in &session.sections {
            assert!(!section.is_rejected());
            assert_eq!(section.transport.setup, Some(Setup::ActPass));
            assert_eq!(section.transport.ice_options, [options]);
            assert!(section.transport.fingerprints[0].as_sha256().is_some());
            // Firefox says the fingerprint once, at session level.
            assert!(section.transport.ice.as_ref().is_some_and(|ice| ice.pwd.len() >= 22));
            if section.is_rtp() {
                assert_eq!(section.direction, Direction::RecvOnly);
                assert!(section.rtp.rtcp_mux);
                assert!(section.rtp.extension_id(&Extension::Mid).is_some());
            }
        }
        let data = &session.sections[6];
        assert!(data.is_data() && !data.is_rtp());
        assert_eq!((data.data.sctp_port, data.formats[0].as_str()), (Some(5000), "webrtc-datachannel"));
        assert!(session.bundle_transport().is_some_and(|transport| transport.ice.is_some()));
    }
    // Firefox offers port 0 with bundle-only from the second section on: that is no rejection.
    assert!(read(FIREFOX_V1).sections[1].bundle_only);
    // Newer libwebrtc has ICE options that nobody else knows.
    let sped = CHROMIUM_V1.replace("ice-options:trickle", "ice-options:trickle goog-sped-v1");
    assert_eq!(read(&sped).sections[0].transport.ice_options, ["trickle", "goog-sped-v1"]);
}

#[test]
fn a_chromium_publisher_offer_has_its_layers_codecs_and_extensions() {
    let session = read(CHROMIUM_PUBLISHER);
    assert!(session.extmap_allow_mixed);
    let audio = &session.sections[0];
    let opus = audio.rtp.payload(Pt(111)).unwrap();
    assert!(opus.is("OPUS") && opus.channels == Some(2) && opus.clock_rate == 48_000);
    assert_eq!(opus.codec(), Some(codec::Kind::Opus));
    assert_eq!((opus.fmtp.get("minptime"), opus.fmtp.get("UseInbandFEC")), (Some("10"), Some("1")));
    assert_eq!(audio.rtp.payload(Pt(63)).unwrap().fmtp.0, "111/111");
    assert_eq!(audio.rtp.msids.len(), 1);
    assert_eq!(audio.rtp.ssrcs[0].msid, audio.rtp.msids.first().cloned());
    let video = &session.section(label("1")).unwrap().rtp;
    assert_eq!(video.encodings(Way::Send), [label("q"), label("h"), label("f")]);
    assert_eq!(video.encodings(Way::Recv), []);
    assert_eq!((video.payloads[0].pt, video.rtx_of(Pt(96))), (Pt(96), Some(Pt(97))));
    let vp8 = video.payload(Pt(96)).unwrap();
    for wanted in [Feedback::Remb, Feedback::TransportCc, Feedback::CcmFir, Feedback::Nack, Feedback::NackPli]
    {
        assert!(vp8.has(&wanted), "{wanted:?}");
    }
    let ids = [
        (Extension::AbsSendTime, 2),
        (Extension::TransportCc, 3),
        (Extension::Mid, 4),
        (Extension::PlayoutDelay, 5),
        (Extension::Rid, 10),
        (Extension::RepairedRid, 11),
        (Extension::DependencyDescriptor, 12),
        (Extension::VideoOrientation, 13),
    ];
    for (extension, id) in ids {
        assert_eq!(video.extension_id(&extension), Some(id), "{extension:?}");
        assert_eq!(Extension::from_uri(extension.uri()), extension);
    }
    assert!(
        video.extensions.iter().any(|e| matches!(&e.extension, Extension::Other(u) if u.contains("toffset")))
    );
}

#[test]
fn a_firefox_publisher_offer_has_its_groups_and_one_sided_extensions() {
    let session = read(FIREFOX_PUBLISHER);
    let video = &session.section(label("1")).unwrap().rtp;
    assert_eq!(video.encodings(Way::Send), [label("q"), label("h"), label("f")]);
    let rid = video.extensions.iter().find(|extmap| extmap.extension == Extension::Rid).unwrap();
    assert_eq!((rid.id, rid.direction), (9, Some(Direction::SendOnly)));
    assert_eq!(video.ssrc_groups.len(), 3);
    let first = video.ssrc_groups[0].ssrcs[0];
    assert_eq!(video.rtx_ssrc_of(first), Some(video.ssrc_groups[0].ssrcs[1]));
    assert_eq!(video.rtx_ssrc_of(Ssrc(1)), None);
    assert!(video.ssrcs.iter().all(|line| line.cname.is_some() && line.msid.is_none()));
    assert_eq!(session.sections[2].data.max_message_size, Some(1_073_741_823));
}

#[test]
fn what_is_written_is_read_back_the_same() {
    for text in OFFERS {
        let once = read(text);
        let written = once.to_string();
        assert!(written.lines().all(|line| line.len() > 2) && written.ends_with("\r\n"));
        assert_eq!(read(&written), once);
        // Line ends make no difference.
        assert_eq!(read(&written.replace("\r\n", "\n")), once);
        assert_eq!(read(&text.replace('\n', "\r\n")), once);
    }
}

#[test]
fn every_truncation_and_every_damaged_byte_has_an_answer() {
    let limits = Limits::default();
    // One section of each kind is enough: the others repeat its lines.
    for text in [CHROMIUM_PUBLISHER, FIREFOX_PUBLISHER] {
        for end in (0..text.len()).step_by(5) {
            let _ = parse(&text[..end], &limits);
        }
        let bytes = b" :=/0\n~;".iter().cycle();
        for (at, byte) in (0..text.len()).zip(bytes) {
            let mut damaged = text.as_bytes().to_vec();
            damaged[at] = *byte;
            if let Ok(session) = parse(std::str::from_utf8(&damaged).unwrap(), &limits) {
                assert_eq!(read(&session.to_string()).sections.len(), session.sections.len());
            }
        }
    }
}

#[test]
fn malformed_lines_are_named() {
    let cases = [
        ("a=rtpmap:96", "rtpmap"),
        ("a=rtpmap:300 VP8/90000", "rtpmap"),
        ("a=rtpmap:96 VP8", "rtpmap"),
        ("a=rtpmap:96 VP8/x", "rtpmap"),
        ("a=rtpmap:96 opus/48000/999", "rtpmap"),
        ("a=fmtp:96", "fmtp"),
        ("a=rtcp-fb:x nack", "rtcp-fb"),
        ("a=extmap:0 urn:x", "extmap"),
        ("a=extmap:3/both urn:x", "extmap"),
        ("a=extmap:3", "extmap"),
        ("a=mid:", "mid"),
        ("a=mid:this-mid-is-far-too-long", "mid"),
        ("a=ssrc:x cname:y", "ssrc"),
        ("a=ssrc-group:FID 1 x", "ssrc-group"),
        ("a=rid:q", "rid"),
        ("a=rid:q both", "rid"),
        ("a=rid:layer-with-a-very-long-name send", "rid"),
        ("a=simulcast:", "simulcast"),
        ("a=simulcast:send", "simulcast"),
        ("a=simulcast:send q;;f", "simulcast"),
        ("a=msid:", "msid"),
        ("a=ice-ufrag:", "ICE credentials"),
        ("a=setup:both", "setup"),
        ("a=fingerprint:sha-256 AA:B", "fingerprint"),
        ("a=fingerprint:sha-256 +A:BB", "fingerprint"),
        ("a=sctp-port:65536", "sctp-port"),
        ("a=max-message-size:-1", "max-message-size"),
        ("a=:x", "attribute"),
        ("m=video", "m-line"),
        ("m=video 9", "m-line"),
        ("m=video 70000 RTP/AVP 0", "m-line"),
        ("m=video 9 UDP/TLS/RTP/SAVPF 128", "m-line"),
    ];
    for (line, what) in cases {
        assert_eq!(error(&video(line)), (5, ErrorKind::Malformed(what)), "{line}");
    }
    assert_eq!(error(&video("no line")), (5, ErrorKind::NotALine));
    assert_eq!(error(&video("Z=x")), (5, ErrorKind::NotALine));
    assert_eq!(error("v=0\na=group:BUNDLE a-mid-that-is-too-long"), (2, ErrorKind::Malformed("group")));
    for text in ["", "\n\n", "v=1", "o=x", "hello", "m=audio 9 RTP/AVP 0"] {
        assert!(matches!(
            parse(text, &Limits::default()),
            Err(Error { kind: ErrorKind::NotSdp | ErrorKind::NotALine, .. })
        ));
    }
    let twice = video("a=mid:0\nm=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:0");
    assert_eq!(error(&twice), (0, ErrorKind::DuplicateMid));
    let error = parse(&video("a=setup:x"), &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "line 5: malformed setup");
}

#[test]
fn limits_hold() {
    let limits = Limits::default();
    let section = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
    let many = |count: usize| format!("v=0\r\n{}", section.repeat(count));
    assert!(parse(&many(256), &limits).is_ok());
    assert_eq!(error(&many(500)), (258, ErrorKind::TooMany("sections")));
    let long = format!("v=0\r\n{}", "a=x\r\n".repeat(500_000));
    assert_eq!(error(&long), (0, ErrorKind::TooLong));
    let lines = [
        ("a=ssrc:{} cname:x", "SSRCs"),
        ("a=rid:{} send", "rids"),
        ("a=msid:{} x", "msids"),
        ("a=unknown:{}", "attributes"),
        ("a=extmap:7 urn:{}", "extensions"),
        ("a=rtcp-fb:96 {}", "feedback types"),
        ("a=ssrc-group:FID {}", "SSRC groups"),
        ("a=candidate:{} 1 udp 1 192.0.2.1 9 typ host", "candidates"),
    ];
    for (line, what) in lines {
        let text: String = (0..300).map(|n| line.replace("{}", &n.to_string()) + "\r\n").collect();
        assert_eq!(error(&video(&text)), (261, ErrorKind::TooMany(what)));
    }
    let streams = vec!["q"; 300].join(";");
    assert_eq!(
        error(&video(&format!("a=simulcast:send {streams}"))).1,
        ErrorKind::TooMany("simulcast streams")
    );
    // What is copied from the session level to each section is short.
    let options = vec!["x"; 17].join(" ");
    assert_eq!(error(&format!("v=0\na=ice-options:{options}")).1, ErrorKind::TooMany("ICE options"));
    let prints = "a=fingerprint:sha-256 AA\n".repeat(17);
    assert_eq!(error(&format!("v=0\n{prints}")).1, ErrorKind::TooMany("fingerprints"));
}

#[test]
fn lies_about_rids_are_seen_through() {
    let rids = |lines: &str| {
        let session = read(&video(lines));
        session.sections[0]
            .rtp
            .encodings(Way::Send)
            .iter()
            .map(|rid| rid.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    // In the simulcast line but never declared; declared the other way; listed twice.
    assert_eq!(rids("a=rid:q send\na=simulcast:send q;h;f"), ["q"]);
    assert_eq!(rids("a=rid:q recv\na=simulcast:send q"), [""; 0]);
    assert_eq!(rids("a=rid:q send\na=simulcast:send q;q;q"), ["q"]);
    // Declared, with no simulcast line.
    assert_eq!(rids("a=rid:f send pt=96"), ["f"]);
    // Paused, with alternatives, in the spelling of older drafts, and with the mark in the rid line too.
    assert_eq!(rids("a=rid:~q send\na=rid:f send\na=simulcast: send rid=~q,x;f recv y"), ["q", "f"]);
}

#[test]
fn candidates_are_read_from_descriptions_and_from_trickle() {
    let line = "candidate:3298782126 1 udp 1685987071 198.51.100.7 58780 typ srflx raddr 192.168.0.7 rport \
                58780 generation 0 ufrag F+xh network-id 1 network-cost 10";
    let candidate = Candidate::parse(line).unwrap();
    assert_eq!(Candidate::parse(&format!("a={line}\r\n")), Ok(candidate.clone()));
    assert_eq!(candidate.kind, CandidateKind::ServerReflexive);
    assert_eq!(candidate.socket_addr(), "198.51.100.7:58780".parse().ok());
    assert_eq!(candidate.ufrag.as_deref(), Some("F+xh"));
    assert_eq!(Candidate::parse(&candidate.to_string()), Ok(candidate));
    let tcp = "candidate:1 1 TCP 1518214911 2001:db8::7 9 typ host tcptype active";
    let candidate = Candidate::parse(tcp).unwrap();
    assert_eq!((candidate.protocol, candidate.tcp), (Protocol::Tcp, Some(TcpKind::Active)));
    assert_eq!(Candidate::parse(&candidate.to_string()), Ok(candidate));
    let hidden = "candidate:0 1 UDP 2122252543 fc8e5fbc-11bb-446e-afa8-f0ec2dc006fe.local 49104 typ host";
    assert_eq!(Candidate::parse(hidden).unwrap().socket_addr(), None);

    for bad in [
        "",
        "candidate:",
        "candidate:1 1 udp 5 192.0.2.1 9",
        "candidate:1 1 udp 5 192.0.2.1 9 typ",
        "candidate:1 1 udp 5 192.0.2.1 9 typ guest",
        "candidate:1 1 sctp 5 192.0.2.1 9 typ host",
        "candidate:1 1 udp 5000000000 192.0.2.1 9 typ host",
        "candidate:1 1 udp 5 192.0.2.300 9 typ host",
        "candidate:1 1 udp 5 192.0.2.1 70000 typ host",
        "candidate:1 1 udp 5 a$b 9 typ host",
        "candidate:1 1 udp 5 192.0.2.1 9 typ srflx raddr ? rport 1",
        "candidate:0123456789012345678901234567890123 1 udp 5 192.0.2.1 9 typ host",
    ] {
        assert!(Candidate::parse(bad).is_err(), "{bad}");
    }
    // In a description, one that cannot be read does not spoil the others.
    let session = read(&video(&format!("a={line}\na=candidate:nonsense\na={tcp}\na=end-of-candidates")));
    assert_eq!(session.sections[0].transport.candidates.len(), 2);
    assert!(session.sections[0].transport.end_of_candidates);
}

#[test]
fn codecs_match_by_what_a_decoder_must_know() {
    let payload =
        |name: &str, fmtp: &str| Payload { fmtp: Fmtp(fmtp.into()), ..Payload::new(Pt(100), name, 90_000) };
    let h264 = |fmtp| payload("H264", fmtp);
    let baseline = h264("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
    // Another level, another case, another order: the same codec.
    assert!(baseline.matches(&payload("h264", "profile-level-id=42E034;packetization-mode=1")));
    // Main with constraint_set0 is constrained baseline as well.
    assert!(baseline.matches(&h264("packetization-mode=1;profile-level-id=4d801f")));
    assert!(!baseline.matches(&h264("packetization-mode=0;profile-level-id=42e01f")));
    assert!(!baseline.matches(&h264("profile-level-id=42e01f")));
    assert!(!baseline.matches(&h264("packetization-mode=1;profile-level-id=42001f")));
    assert!(!baseline.matches(&h264("packetization-mode=1;profile-level-id=640032")));
    assert!(!baseline.matches(&h264("packetization-mode=1;profile-level-id=zz")));
    assert!(payload("VP9", "").matches(&payload("VP9", "profile-id=0")));
    assert!(!payload("VP9", "profile-id=2").matches(&payload("VP9", "profile-id=0")));
    assert!(payload("AV1", "level-idx=5;profile=0;tier=0").matches(&payload("AV1", "")));
    assert!(!payload("VP8", "").matches(&payload("VP9", "")));
    assert_eq!(payload("rtx", "apt=96").apt(), Some(Pt(96)));
    assert_eq!(payload("rtx", "apt=300").apt(), None);
    assert_eq!(payload("VP8", "apt=96").apt(), None);
}

#[test]
fn format_parameters_are_set_in_place() {
    let mut fmtp = Fmtp("minptime=10; useinbandfec=1;cbr".into());
    fmtp.set("UseInbandFec", "0");
    fmtp.set("usedtx", "1");
    assert_eq!(fmtp.0, "minptime=10;useinbandfec=0;cbr;usedtx=1");
    assert_eq!((fmtp.get("cbr"), fmtp.get("stereo")), (Some(""), None));
    let mut fmtp = Fmtp("minptime=10; Stereo=1;;useinbandfec=1;sprop-stereo=1;cbr".into());
    for (name, left) in [
        ("nothing", "minptime=10; Stereo=1;;useinbandfec=1;sprop-stereo=1;cbr"),
        ("stereo", "minptime=10;useinbandfec=1;sprop-stereo=1;cbr"),
        ("cbr", "minptime=10;useinbandfec=1;sprop-stereo=1"),
        ("minptime", "useinbandfec=1;sprop-stereo=1"),
    ] {
        fmtp.remove(name);
        assert_eq!(fmtp.0, left);
    }
    let mut empty = Fmtp::default();
    empty.set("apt", "96");
    assert_eq!(empty.0, "apt=96");
}

#[test]
fn wildcard_feedback_reaches_every_payload() {
    let session = read(&video("a=rtcp-fb:* nack pli\na=rtcp-fb:96 nack\na=rtcp-fb:96 nack"));
    let [first, second] = session.sections[0].rtp.payloads.as_slice() else { panic!("two payloads") };
    assert_eq!(first.feedback, [Feedback::NackPli, Feedback::Nack]);
    assert_eq!(second.feedback, [Feedback::NackPli]);
}

#[test]
fn sections_without_their_own_values_take_the_sessions() {
    let text = "v=0\na=setup:passive\na=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\na=inactive\n\
                a=fingerprint:SHA-256 0a:FF\nm=audio 9 UDP/TLS/RTP/SAVPF 0\nm=audio 9 UDP/TLS/RTP/SAVPF 8\n\
                a=setup:active\na=ice-ufrag:wxyz\na=ice-pwd:9876543210987654321098\na=sendonly\n";
    let session = read(text);
    let [first, second] = session.sections.as_slice() else { panic!("two sections") };
    assert_eq!(first.transport.ice.as_ref().map(|ice| ice.ufrag.as_str()), Some("abcd"));
    assert_eq!((first.transport.setup, first.direction), (Some(Setup::Passive), Direction::Inactive));
    assert_eq!(first.transport.fingerprints[0].digest, [0x0a, 0xff]);
    assert_eq!(second.transport.ice.as_ref().map(|ice| ice.ufrag.as_str()), Some("wxyz"));
    assert_eq!((second.transport.setup, second.direction), (Some(Setup::Active), Direction::SendOnly));
    assert!(first.rtp.payloads[0].is("PCMU") && second.rtp.payloads[0].is("PCMA"));
    // Half of a pair of credentials is none.
    let half = read("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=ice-ufrag:abcd\n");
    assert_eq!(half.sections[0].transport.ice, None);
}

#[test]
fn a_value_cannot_smuggle_in_a_line() {
    let mut session = read(CHROMIUM_V1);
    session.sections[0].rtp.msids =
        vec![Msid { stream: "a\r\na=setup:active".into(), track: Some("b\nm=video 9 x 1\u{0}".into()) }];
    let back = read(&session.to_string());
    assert_eq!(back.sections.len(), session.sections.len());
    assert_eq!(back.sections[0].transport.setup, Some(Setup::ActPass));
    assert_eq!(back.sections[0].rtp.msids[0].stream, "aa=setup:active");
}

#[test]
fn passwords_are_not_printed() {
    let ice = Ice { ufrag: "abcd".into(), pwd: "hush-hush".into() };
    assert_eq!(format!("{ice:?}"), "Ice(abcd)");
}

#[test]
fn a_rejection_keeps_the_place() {
    let session = read(CHROMIUM_PUBLISHER);
    let twin = session.sections[1].rejection();
    assert!(twin.is_rejected());
    let answer = Session { sections: vec![twin], ..Session::default() };
    let back = read(&answer.to_string());
    assert_eq!((back.sections[0].mid, back.sections[0].port), (Rid::new("1"), 0));
    assert_eq!(back.sections[0].rtp.payloads.len(), 1);
}
