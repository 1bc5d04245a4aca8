//! Whatever the model can hold is written and read back.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::*;
use ::rtp::{Label, Pt, Ssrc};

fn label() -> impl Strategy<Value = Label> {
    "[a-zA-Z0-9]{1,16}".prop_map(|text| Label::new(&text).unwrap())
}

fn direction() -> impl Strategy<Value = Direction> {
    (any::<bool>(), any::<bool>()).prop_map(|(send, recv)| Direction::new(send, recv))
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<std::net::IpAddr>().prop_map(Address::Ip),
        "[a-z][a-z0-9-]{0,20}\\.local".prop_map(Address::Name),
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let kind = prop_oneof![
        Just(CandidateKind::Host),
        Just(CandidateKind::ServerReflexive),
        Just(CandidateKind::PeerReflexive),
        Just(CandidateKind::Relayed),
    ];
    let tcp = prop_oneof![Just(TcpKind::Active), Just(TcpKind::Passive), Just(TcpKind::SimultaneousOpen)];
    let protocol = prop_oneof![Just(Protocol::Udp), Just(Protocol::Tcp)];
    let front = ("[a-z0-9]{1,32}", any::<u16>(), protocol, any::<u32>(), address(), any::<u16>(), kind);
    let back = (option::of((address(), any::<u16>())), option::of(tcp), option::of("[a-z0-9+/]{4,20}"));
    (front, back).prop_map(|(front, (related, tcp, ufrag))| {
        let (foundation, component, protocol, priority, address, port, kind) = front;
        Candidate { foundation, component, protocol, priority, address, port, kind, related, tcp, ufrag }
    })
}

fn transport() -> impl Strategy<Value = Transport> {
    let ice = ("[a-zA-Z0-9+/]{4,30}", "[a-zA-Z0-9+/]{22,30}").prop_map(|(ufrag, pwd)| Ice { ufrag, pwd });
    let setup =
        prop_oneof![Just(Setup::ActPass), Just(Setup::Active), Just(Setup::Passive), Just(Setup::HoldConn)];
    let fingerprint = any::<[u8; 32]>().prop_map(Fingerprint::sha256);
    (
        option::of(ice),
        vec("[a-z0-9-]{1,12}", 0..3),
        vec(fingerprint, 0..3),
        option::of(setup),
        vec(candidate(), 0..4),
        any::<bool>(),
    )
        .prop_map(|(ice, ice_options, fingerprints, setup, candidates, end_of_candidates)| Transport {
            ice,
            ice_options,
            fingerprints,
            setup,
            candidates,
            end_of_candidates,
        })
}

fn payload() -> impl Strategy<Value = Payload> {
    let feedback = "[a-z]{1,8}( [a-z]{1,8})?".prop_map(|text| Feedback::from_text(&text));
    (
        0u8..128,
        "[A-Za-z0-9-]{1,10}",
        any::<u32>(),
        option::of(any::<u8>()),
        "([a-z-]{1,9}=[a-z0-9]{1,6}(;[a-z]{1,4}=[0-9]{1,3}){0,3})?",
        proptest::collection::hash_set(feedback, 0..5),
    )
        .prop_map(|(pt, name, clock_rate, channels, fmtp, feedback)| Payload {
            channels,
            fmtp: Fmtp(fmtp),
            feedback: feedback.into_iter().collect(),
            ..Payload::new(Pt(pt), &name, clock_rate)
        })
}

fn msid() -> impl Strategy<Value = Msid> {
    ("[!-9;-~]{1,30}", option::of("[!-~]{1,30}")).prop_map(|(stream, track)| Msid { stream, track })
}

fn streams() -> impl Strategy<Value = Vec<Alternatives>> {
    let rid = (label(), any::<bool>()).prop_map(|(rid, paused)| RidRef { rid, paused });
    vec(vec(rid, 1..3), 0..4)
}

fn rtp() -> impl Strategy<Value = Rtp> {
    let extmap = (1u8..=255, option::of(direction()), "[a-z:/#.-]{1,40}")
        .prop_map(|(id, direction, uri)| Extmap { id, direction, extension: Extension::from_uri(&uri) });
    let ssrc = (any::<u32>(), option::of("[!-~]{1,20}"), option::of(msid()))
        .prop_map(|(ssrc, cname, msid)| SsrcLine { ssrc: Ssrc(ssrc), cname, msid });
    let group = ("[A-Z]{2,4}", vec(any::<u32>().prop_map(Ssrc), 0..4))
        .prop_map(|(semantics, ssrcs)| SsrcGroup { semantics, ssrcs });
    let way = prop_oneof![Just(Way::Send), Just(Way::Recv)];
    let rid = (label(), way, option::of("[a-z]{1,5}=[0-9]{1,4}"))
        .prop_map(|(rid, way, restrictions)| RidLine { rid, way, restrictions });
    let simulcast = (streams(), streams()).prop_map(|(send, recv)| {
        let simulcast = Simulcast { send, recv };
        (simulcast != Simulcast::default()).then_some(simulcast)
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let lists = (vec(payload(), 1..6), vec(extmap, 0..5), vec(msid(), 0..3), vec(ssrc, 0..4));
    (flags, lists, vec(group, 0..3), vec(rid, 0..4), simulcast).prop_map(
        |((rtcp_mux, rtcp_rsize, extmap_allow_mixed), lists, ssrc_groups, rids, simulcast)| {
            let (mut payloads, extensions, msids, mut ssrcs) = lists;
            payloads.sort_by_key(|payload| payload.pt);
            payloads.dedup_by_key(|payload| payload.pt);
            ssrcs.sort_by_key(|line| line.ssrc);
            ssrcs.dedup_by_key(|line| line.ssrc);
            Rtp {
                rtcp_mux,
                rtcp_rsize,
                payloads,
                extensions,
                extmap_allow_mixed,
                msids,
                ssrcs,
                ssrc_groups,
                rids,
                simulcast,
            }
        },
    )
}

fn attribute() -> impl Strategy<Value = Attribute> {
    ("x-[a-z-]{1,12}", option::of("[ -~]{0,20}[!-~]")).prop_map(|(name, value)| Attribute { name, value })
}

fn section() -> impl Strategy<Value = Section> {
    let kind = prop_oneof![Just(Kind::Audio), Just(Kind::Video), "[a-z]{3,8}".prop_map(Kind::Other)];
    let media = (kind, any::<u16>(), direction(), any::<bool>(), rtp()).prop_map(
        |(kind, port, direction, bundle_only, rtp)| {
            let blank = Section::rtp(kind, Label::default(), direction);
            Section { port, bundle_only, rtp, ..blank }
        },
    );
    let data =
        (any::<u16>(), any::<u64>()).prop_map(|(port, size)| Section::data(Label::default(), port, size));
    let either = prop_oneof![3 => media, 1 => data];
    (either, transport(), vec(attribute(), 0..4)).prop_map(|(section, transport, attributes)| Section {
        transport,
        attributes,
        ..section
    })
}

fn session() -> impl Strategy<Value = Session> {
    let origin = ("[!-~]{1,20}", any::<u64>(), any::<u64>())
        .prop_map(|(username, session_id, version)| Origin { username, session_id, version });
    let group = ("[A-Z]{2,6}", vec(label(), 0..4)).prop_map(|(semantics, mids)| Group { semantics, mids });
    (origin, vec(group, 0..3), any::<(bool, bool)>(), vec(section(), 0..5), vec(attribute(), 0..3)).prop_map(
        |(origin, groups, (ice_lite, extmap_allow_mixed), mut sections, attributes)| {
            for (at, section) in sections.iter_mut().enumerate() {
                section.mid = Label::new(&at.to_string());
            }
            Session {
                origin,
                groups,
                transport: Transport::default(),
                ice_lite,
                extmap_allow_mixed,
                sections,
                attributes,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_session_survives(session in session()) {
        let text = session.to_string();
        let back = parse(&text, &Limits::default());
        prop_assert_eq!(back.as_ref(), Ok(&session), "{}", text);
    }

    #[test]
    fn any_text_has_an_answer(text in "(v=0\r\n)?([a-z]=[ -~]{0,30}\n|a=(rtpmap|fmtp|rid|simulcast|extmap|ssrc):[ -~]{0,20}\n|m=video 9 UDP/TLS/RTP/SAVPF 96\n){0,20}") {
        let _ = parse(&text, &Limits::default());
    }
}
