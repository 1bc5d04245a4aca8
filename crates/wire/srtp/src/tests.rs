//! Vectors of RFC 3711 appendix B and RFC 7714 section 16 and 17, and what happens at the edges.

use rtp::Ssrc;

use crate::cipher::Cipher;
use crate::keys::{Prf, Session};
use crate::{
    Inbound, KeyError, MAX_INBOUND_SSRCS, Outbound, Profile, Reject, Repeats, Role, SealError, contexts,
};

const PROFILES: [Profile; 3] = [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

fn rtp_packet(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 7]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// Server's sender and client's receiver with the same keying material.
fn pair(profile: Profile) -> (Outbound, Inbound) {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    let (_, sender) = contexts(profile, &material, Role::Server).unwrap();
    let (receiver, _) = contexts(profile, &material, Role::Client).unwrap();
    (sender, receiver)
}

fn seal(sender: &mut Outbound, packet: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + sender.profile().rtp_overhead(), 0);
    let len = sender.seal_rtp(&mut buf, 12, packet.len())?;
    buf.truncate(len);
    Ok(buf)
}

fn seal_rtcp(sender: &mut Outbound, packet: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + sender.profile().rtcp_overhead(), 0);
    let len = sender.seal_rtcp(&mut buf, packet.len())?;
    buf.truncate(len);
    Ok(buf)
}

fn open(receiver: &mut Inbound, sealed: &[u8]) -> Result<Vec<u8>, Reject> {
    let mut buf = sealed.to_vec();
    let len = receiver.open_rtp(&mut buf, 12)?;
    buf.truncate(len);
    Ok(buf)
}

fn open_rtcp(receiver: &mut Inbound, sealed: &[u8]) -> Result<Vec<u8>, Reject> {
    let mut buf = sealed.to_vec();
    let len = receiver.open_rtcp(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

/// RFC 3711 appendix B.3.
#[test]
fn session_keys_derive_as_in_rfc_3711_b_3() {
    let prf =
        Prf::new(&hex("E1F97A0D3E018BE0D64FA32C06DE4139"), &hex("0EC675AD498AFEEBB6960B3AABE6")).unwrap();
    let stream = |label, len| {
        let mut out = vec![0; len];
        prf.fill(label, &mut out).unwrap();
        out
    };
    assert_eq!(stream(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(stream(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        stream(1, 94),
        hex("CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
             E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
             6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2")
    );
}

/// RFC 3711 appendix B.2: the first and last blocks of a segment of 65282.
#[test]
fn the_key_stream_is_that_of_rfc_3711_b_2() {
    let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
    let salt = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
    let cipher = Cipher::new(Profile::Aes128CmSha1_80, &key, &salt, &[0; 20]).unwrap();
    let mut body = vec![0; 65_282 * 16];
    assert!(cipher.seal_rtp(0, 0, &[], &mut body).is_ok());
    assert_eq!(
        body[..48],
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
             41E95B3BB0A2E8DD477901E4FCA894C0")[..]
    );
    assert_eq!(
        body[body.len() - 48..],
        hex("EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE
             6A2CC3787889374FBEB4C81B17BA6C44")[..]
    );
}

/// The reference packets of libsrtp's test driver, whose master key and salt are those of RFC 3711 B.3.
#[test]
fn whole_packets_are_those_of_libsrtp() {
    let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    let profile = Profile::Aes128CmSha1_80;
    let session = || Session::derive(profile, &key, &salt).unwrap();

    let plain = hex("800f1234 decafbad cafebabe abababab abababab abababab abababab");
    let sealed = hex("800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402
                      b78d6acc 99ea179b 8dbb");
    assert_eq!(seal(&mut Outbound::new(profile, session()), &plain).unwrap(), sealed);
    assert_eq!(open(&mut Inbound::new(profile, session()), &sealed).unwrap(), plain);

    let plain = hex("81c8000b cafebabe abababab abababab abababab abababab");
    let sealed = hex("81c8000b cafebabe 7128035b e487b9bd bef89041 f977a5a8
                      80000001 993e08cd 54d6c123 0798");
    assert_eq!(seal_rtcp(&mut Outbound::new(profile, session()), &plain).unwrap(), sealed);
    assert_eq!(open_rtcp(&mut Inbound::new(profile, session()), &sealed).unwrap(), plain);
}

const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SALT: &str = "517569642070726f2071756f";

/// A session whose keys are given, not derived, as the vectors of RFC 7714 are stated.
fn given(profile: Profile) -> Session {
    let key = hex(if profile == Profile::AeadAes128Gcm { KEY_128 } else { KEY_256 });
    let cipher = || Cipher::new(profile, &key, &hex(SALT), &[]).unwrap();
    Session { rtp: cipher(), rtcp: cipher() }
}

/// RFC 7714 sections 16.1.1, 16.1.2, 16.2.1, 16.2.2.
#[test]
fn rtp_is_sealed_and_opened_as_in_rfc_7714_16() {
    let plain = hex("8040f17b 8041f8d3 5501a0b2
                     47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let vectors = [
        (
            Profile::AeadAes128Gcm,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            Profile::AeadAes256Gcm,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (profile, expected) in vectors {
        let sealed = [&plain[..12], &hex(expected)].concat();
        assert_eq!(seal(&mut Outbound::new(profile, given(profile)), &plain).unwrap(), sealed);
        assert_eq!(open(&mut Inbound::new(profile, given(profile)), &sealed).unwrap(), plain);
    }
}

/// RFC 7714 sections 17.1 and 17.2; the index there is 0x5d4.
#[test]
fn rtcp_is_sealed_and_opened_as_in_rfc_7714_17() {
    let plain = hex("81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61
                     deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let vectors = [
        (
            Profile::AeadAes128Gcm,
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b46
             86303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            Profile::AeadAes256Gcm,
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658
             c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ];
    for (profile, expected) in vectors {
        let sealed = [&plain[..8], &hex(expected)].concat();
        let mut sender = Outbound::new(profile, given(profile));
        sender.start_rtcp_at(0x5d3);
        assert_eq!(seal_rtcp(&mut sender, &plain).unwrap(), sealed);
        assert_eq!(open_rtcp(&mut Inbound::new(profile, given(profile)), &sealed).unwrap(), plain);
    }
}

/// RFC 7714 section 17.3: authentic, but in the clear.
#[test]
fn unencrypted_rtcp_is_refused() {
    let tagged = hex("81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61
                      deadbeefdeadbeefdeadbeefdeadbeefdeadbeef
                      841dd9683dd78ec92ae58790125f62b3 000005d4");
    let profile = Profile::AeadAes128Gcm;
    let mut receiver = Inbound::new(profile, given(profile));
    assert_eq!(open_rtcp(&mut receiver, &tagged), Err(Reject::Unencrypted));
}

#[test]
fn each_side_opens_what_the_other_sealed() {
    for profile in PROFILES {
        let material: Vec<u8> = (100..).take(profile.keying_material_len()).collect();
        let (mut server_in, mut server_out) = contexts(profile, &material, Role::Server).unwrap();
        let (mut client_in, mut client_out) = contexts(profile, &material, Role::Client).unwrap();
        let packet = rtp_packet(1, 5, b"voice");
        let from_client = seal(&mut client_out, &packet).unwrap();
        let from_server = seal(&mut server_out, &packet).unwrap();
        assert_ne!(from_client, from_server);
        assert_eq!(open(&mut client_in, &from_client), Err(Reject::Unauthentic), "{profile:?}");
        assert_eq!(open(&mut server_in, &from_client).unwrap(), packet);
        assert_eq!(open(&mut client_in, &from_server).unwrap(), packet);
        assert_eq!(Profile::from_id(profile.id()), Some(profile));
    }
}

#[test]
fn material_of_another_length_is_refused() {
    let got = contexts(Profile::AeadAes128Gcm, &[0; 60], Role::Client).err();
    assert_eq!(got, Some(KeyError::Length { got: 60, want: 56 }));
}

#[test]
fn a_thousand_sequence_wraps_stay_in_step() {
    // Given: losses of up to 20,000 packets, so that each rollover is seen or guessed.
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let mut index = 30_000u64;
        for round in 0..600u64 {
            let packet = rtp_packet(9, index as u16, &round.to_be_bytes());
            let sealed = seal(&mut sender, &packet).unwrap();
            assert_eq!(open(&mut receiver, &sealed).unwrap(), packet, "{profile:?} at {index}");
            assert_eq!(u64::from(receiver.rollover(Ssrc(9))), index >> 16);
            index += 1 + (round * 7_919) % 20_000;
        }
        assert!(index >> 16 > 50);
    }
}

#[test]
fn late_packets_across_a_wrap_open_once() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let sealed: Vec<_> = (0..40u16)
            .map(|i| seal(&mut sender, &rtp_packet(9, 65_516u16.wrapping_add(i), &[i as u8])).unwrap())
            .collect();
        // Odd ones first, then the even ones, then all of them again.
        for packet in sealed.iter().skip(1).step_by(2).chain(sealed.iter().step_by(2)) {
            assert!(open(&mut receiver, packet).is_ok());
        }
        for packet in &sealed {
            assert_eq!(open(&mut receiver, packet), Err(Reject::Replayed));
        }
    }
}

#[test]
fn what_lies_behind_the_window_is_refused() {
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    let first = seal(&mut sender, &rtp_packet(9, 1, b"x")).unwrap();
    let far = seal(&mut sender, &rtp_packet(9, 1025, b"x")).unwrap();
    assert!(open(&mut receiver, &far).is_ok());
    assert_eq!(open(&mut receiver, &first), Err(Reject::Old));
}

#[test]
fn every_flipped_bit_is_noticed_and_harms_nothing() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let packet = rtp_packet(9, 7, b"some payload");
        let sealed = seal(&mut sender, &packet).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&mut receiver, &forged), Err(Reject::Unauthentic), "{profile:?} bit {bit}");
        }
        assert_eq!(open(&mut receiver, &sealed).unwrap(), packet);

        let report = hex("80c90001 00000005 00000000 00000000");
        let sealed = seal_rtcp(&mut sender, &report).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let got = open_rtcp(&mut receiver, &forged);
            assert!(matches!(got, Err(Reject::Unauthentic | Reject::Unencrypted)), "{got:?}");
        }
        assert_eq!(open_rtcp(&mut receiver, &sealed).unwrap(), report);
        assert_eq!(open_rtcp(&mut receiver, &sealed), Err(Reject::Replayed));
    }
}

#[test]
fn lengths_that_make_no_sense_are_refused() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let sealed = seal(&mut sender, &rtp_packet(9, 7, b"abc")).unwrap();
        for len in 0..sealed.len() {
            for header in [0, 11, 12, 13, 40, usize::MAX] {
                let mut cut = sealed[..len].to_vec();
                assert!(receiver.open_rtp(&mut cut, header).is_err());
            }
            assert!(receiver.open_rtcp(&mut sealed[..len].to_vec()).is_err());
        }
        let mut buf = rtp_packet(9, 8, b"abc");
        let len = buf.len();
        assert_eq!(sender.seal_rtp(&mut buf, 12, len), Err(SealError::Short));
        buf.resize(len + 16, 0);
        assert_eq!(sender.seal_rtp(&mut buf, 11, len), Err(SealError::Short));
        assert_eq!(sender.seal_rtp(&mut buf, len + 1, len), Err(SealError::Short));
        assert_eq!(sender.seal_rtp(&mut buf, 12, usize::MAX), Err(SealError::Short));
        assert_eq!(sender.seal_rtcp(&mut buf, len + 16), Err(SealError::Short));
        assert_eq!(sender.seal_rtcp(&mut buf, 4), Err(SealError::Short));
    }
}

#[test]
fn forged_ssrcs_cost_no_room_and_of_authentic_ones_the_silent_give_way() {
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    let mut send = |receiver: &mut Inbound, ssrc, seq| {
        let sealed = seal(&mut sender, &rtp_packet(ssrc, seq, b"x")).unwrap();
        assert!(open(receiver, &sealed).is_ok(), "{ssrc} {seq}");
        sealed
    };
    let full = MAX_INBOUND_SSRCS as u32;
    let first: Vec<_> = (0..full).map(|ssrc| send(&mut receiver, ssrc, 1)).collect();
    for ssrc in 0..5_000 {
        let forged = rtp_packet(ssrc + full, 1, &[0; 40]);
        assert_eq!(open(&mut receiver, &forged), Err(Reject::Unauthentic));
    }
    // Then: nothing is forgotten because of what was forged, and a replay does not count as a packet.
    for packet in &first {
        assert_eq!(open(&mut receiver, packet), Err(Reject::Replayed));
    }
    // When: one stream goes on, and the others are replaced by new ones again and again.
    let mut seq = 1u16;
    for ssrc in 1..5 * full {
        send(&mut receiver, full + ssrc, 1);
        seq = seq.wrapping_add(100);
        send(&mut receiver, 0, seq);
    }
    // Then: it has kept its rollovers, and is protected against replay.
    assert!(receiver.rollover(Ssrc(0)) > 5);
    assert!(open(&mut receiver, &first[0]).is_err());
}

#[test]
fn an_index_is_sealed_once() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = pair(profile);
        let packet = rtp_packet(9, 100, b"first");
        assert!(seal(&mut sender, &packet).is_ok());
        // Not even the same bytes: the stream repeats nothing.
        assert_eq!(seal(&mut sender, &packet), Err(SealError::Repeated));
        // An index that was skipped may still come, once.
        let late = seal(&mut sender, &rtp_packet(9, 98, b"late")).unwrap();
        assert!(open(&mut receiver, &late).is_ok());
        assert_eq!(seal(&mut sender, &rtp_packet(9, 98, b"late")), Err(SealError::Repeated));
        assert!(seal(&mut sender, &rtp_packet(9, 2_000, b"on")).is_ok());
        assert_eq!(seal(&mut sender, &rtp_packet(9, 99, b"lost")), Err(SealError::Old));
    }
}

#[test]
fn a_repeating_stream_seals_the_same_packet_to_the_same_bytes_and_no_other() {
    for profile in PROFILES {
        let (mut sender, _) = pair(profile);
        let stream = sender.stream(Ssrc(9), Repeats::Identical).unwrap();
        let mut seal = |seq: u16, header_byte: u8, payload: &[u8]| {
            let mut buf = rtp_packet(9, seq, payload);
            buf[1] = header_byte;
            let len = buf.len();
            buf.resize(len + profile.rtp_overhead(), 0);
            let result = sender.seal_rtp_on(stream, &mut buf, 12, len);
            (result, buf)
        };
        let (first, sealed) = seal(100, 96, b"payload");
        assert!(first.is_ok());
        for seq in 101..120 {
            assert!(seal(seq, 96, b"others").0.is_ok());
        }
        assert_eq!(seal(100, 96, b"payload"), (first, sealed), "{profile:?}");
        for (byte, payload) in [(97, &b"payload"[..]), (96, b"Payload"), (96, b"payloa")] {
            let (result, left) = seal(100, byte, payload);
            assert_eq!(result, Err(SealError::Repeated));
            assert!(left[12..].iter().all(|b| *b == 0), "key stream must not leak");
        }
        // 64 packets on, its tag is forgotten.
        for seq in 120..165 {
            assert!(seal(seq, 96, b"others").0.is_ok());
        }
        assert_eq!(seal(100, 96, b"payload").0, Err(SealError::Repeated));
        assert!(seal(101, 96, b"others").0.is_ok());
    }
}

#[test]
fn a_closed_ssrc_stays_closed_and_its_place_is_reused() {
    let (mut sender, _) = pair(Profile::AeadAes128Gcm);
    let old = sender.stream(Ssrc(1), Repeats::Refuse).unwrap();
    sender.close(Ssrc(1));
    sender.close(Ssrc(1));
    sender.close(Ssrc(42));
    assert_eq!(sender.stream(Ssrc(1), Repeats::Refuse), Err(SealError::WrongStream));
    let new = sender.stream(Ssrc(2), Repeats::Refuse).unwrap();
    assert_eq!(sender.stream(Ssrc(2), Repeats::Refuse), Ok(new));
    assert_eq!(old, new, "the slot is free again");
    // A handle that outlived its stream seals nothing for another one.
    let mut buf = [rtp_packet(1, 1, b"x"), vec![0; 16]].concat();
    assert_eq!(sender.seal_rtp_on(old, &mut buf, 12, 13), Err(SealError::WrongStream));
    assert_eq!(seal(&mut sender, &rtp_packet(1, 1, b"x")), Err(SealError::WrongStream));
    assert!(seal(&mut sender, &rtp_packet(2, 1, b"x")).is_ok());
}

#[test]
fn a_worn_out_rtcp_key_seals_nothing() {
    let (mut sender, _) = pair(Profile::AeadAes128Gcm);
    let report = hex("80c90001 00000005");
    sender.start_rtcp_at(0x7fff_fffe);
    assert!(seal_rtcp(&mut sender, &report).is_ok());
    assert_eq!(seal_rtcp(&mut sender, &report), Err(SealError::Exhausted));
}

#[test]
fn keys_are_not_printed() {
    let (sender, receiver) = pair(Profile::AeadAes128Gcm);
    assert_eq!(
        format!("{sender:?} {receiver:?}"),
        "Outbound { profile: AeadAes128Gcm, .. } Inbound { profile: AeadAes128Gcm, .. }"
    );
}
