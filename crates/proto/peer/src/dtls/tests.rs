//! The ClientHello on its way in, and what is made of it.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use srtp::Profile;

use super::hello::{Hello, NoWay, Reassembly, Version, is_server_hello};
use super::*;
use crate::testbed::{certificate, start};

const CM: u16 = 0x0001;
const GCM_128: u16 = 0x0007;
const GCM_256: u16 = 0x0008;

fn vector(width: usize, data: &[u8]) -> Vec<u8> {
    let mut out = data.len().to_be_bytes()[8 - width..].to_vec();
    out.extend_from_slice(data);
    out
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// A ClientHello's body, laid out after RFC 5246 section 7.4.1.2 and RFC 6347 section 4.2.1.
fn body(versions: &[u16], profiles: &[u16], padding: usize) -> Vec<u8> {
    // Extension 21 pads (RFC 7685); it stands for the key shares of a browser.
    let mut extensions = vec![(21, vec![0; padding])];
    if !versions.is_empty() {
        extensions.push((43, vector(1, &words(versions))));
    }
    extensions.push((14, [vector(2, &words(profiles)), vec![0]].concat()));
    body_of(&[0x1301, 0xc02b], &extensions)
}

fn body_of(suites: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = words(&[0xfefd]);
    out.extend_from_slice(&[7; 32]);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&vector(2, &words(suites)));
    out.extend_from_slice(&[1, 0]);
    let extension = |(kind, data): &(u16, Vec<u8>)| [words(&[*kind]), vector(2, data)].concat();
    out.extend_from_slice(&vector(2, &extensions.iter().flat_map(extension).collect::<Vec<u8>>()));
    out
}

/// What a client of DTLS 1.2 says.
#[derive(Clone)]
struct Offers {
    suites: Vec<u16>,
    groups: Vec<u16>,
    signatures: Vec<u16>,
    extended_master_secret: bool,
    versions: Vec<u16>,
    profiles: Vec<u16>,
}

impl Offers {
    /// As OpenSSL 3.0 has them, cut to what counts: x25519 and P-256, ECDSA and RSA.
    fn openssl() -> Self {
        Self {
            suites: vec![0xc02c, 0xc030, 0x009f, 0xc02b, 0xc02f, 0x009e, 0x00ff],
            groups: vec![29, 23],
            signatures: vec![0x0403, 0x0804, 0x0401],
            extended_master_secret: true,
            versions: Vec::new(),
            profiles: vec![GCM_128, CM],
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut extensions = vec![
            (10, vector(2, &words(&self.groups))),
            (13, vector(2, &words(&self.signatures))),
            (14, [vector(2, &words(&self.profiles)), vec![0]].concat()),
        ];
        if self.extended_master_secret {
            extensions.push((23, Vec::new()));
        }
        if !self.versions.is_empty() {
            extensions.push((43, vector(1, &words(&self.versions))));
        }
        body_of(&self.suites, &extensions)
    }

    fn answered(&self) -> Result<Version, NoWay> {
        let body = self.body();
        put_together(&[fragment(&body, 0, body.len())]).unwrap().offer.choose(DtlsVersions::Any)
    }
}

#[test]
fn a_client_of_1_2_may_have_an_rsa_certificate_if_it_has_the_suite_the_group_and_the_signature() {
    let offers = Offers::openssl();
    assert_eq!(offers.answered(), Ok(Version::Plain12));
    // Chromium 156: both versions, and AES-CM first.
    let both = vec![0xfefc, 0xfefd];
    let chromium = Offers {
        suites: vec![0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xcca9, 0xcca8],
        versions: both.clone(),
        profiles: vec![CM, GCM_256, GCM_128],
        ..offers.clone()
    };
    assert_eq!(chromium.answered(), Ok(Version::Plain12));
    // What is gained by 1.3 is not given up for a kind of certificate that hardly anybody has.
    let firefox = Offers { profiles: vec![GCM_128, GCM_256, CM], ..chromium };
    assert_eq!(firefox.answered(), Ok(Version::V13));
    // The library has other suites, groups and signatures.
    for (what, offers) in [
        ("no such suite", Offers { suites: vec![0xc02c], ..offers.clone() }),
        ("no P-256", Offers { groups: vec![24], ..offers.clone() }),
        ("no ECDSA with SHA-256", Offers { signatures: vec![0x0503], ..offers.clone() }),
        ("no extended master secret", Offers { extended_master_secret: false, ..offers.clone() }),
    ] {
        assert_eq!(offers.answered(), Ok(Version::V12), "{what}");
    }
    let rsa_alone = Offers { suites: vec![0x009e, 0x009f, 0xc02f, 0xc030], ..offers.clone() };
    assert_eq!(rsa_alone.answered().unwrap_err().datagram()[13..], [2, 40], "fatal handshake_failure");
    let old = Offers { versions: vec![0xfeff], ..offers };
    let alert = old.answered().unwrap_err().datagram();
    assert_eq!(alert, [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 70], "fatal protocol_version");
    assert!(record::is_framed(&alert));
}

#[test]
fn what_a_client_said_of_renegotiation_and_points_is_known() {
    let said = |suites: &[u16], extensions: &[(u16, Vec<u8>)]| {
        let body = body_of(suites, extensions);
        let client = put_together(&[fragment(&body, 0, body.len())]).unwrap().client;
        (client.renegotiation_info, client.point_formats)
    };
    assert_eq!(said(&[0xc02b], &[]), (false, false));
    assert_eq!(said(&[0xc02b, 0x00ff], &[(11, vec![1, 0])]), (true, true));
    assert_eq!(said(&[0xc02b], &[(0xff01, vec![0])]), (true, false));
}

/// A body cut into datagrams at the given places.
fn cut(body: &[u8], at: &[usize]) -> Vec<Vec<u8>> {
    let mut edges = vec![0];
    edges.extend_from_slice(at);
    edges.push(body.len());
    edges.windows(2).map(|edge| fragment(body, edge[0], edge[1])).collect()
}

fn fragment(body: &[u8], from: usize, to: usize) -> Vec<u8> {
    let u24 = |n: usize| n.to_be_bytes()[5..].to_vec();
    let mut message = vec![1];
    message.extend(u24(body.len()));
    message.extend([0, 0]);
    message.extend(u24(from));
    message.extend(u24(to - from));
    message.extend_from_slice(&body[from..to]);
    let mut record = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 3];
    record.extend(vector(2, &message));
    record
}

fn put_together(datagrams: &[Vec<u8>]) -> Option<Hello> {
    let mut reassembly = Reassembly::default();
    let mut hello = None;
    for datagram in datagrams {
        hello = hello.or(reassembly.take(datagram).unwrap());
    }
    hello
}

#[test]
fn the_version_that_gives_gcm_is_chosen() {
    let both: &[u16] = &[0xfefc, 0xfefd];
    for (versions, profiles, expected) in [
        // Chromium 156: AES-CM first, so 1.2, where the library's own order counts.
        (both, &[CM, GCM_256, GCM_128][..], Some(Version::V12)),
        // Firefox 153.
        (both, &[GCM_128, GCM_256, CM], Some(Version::V13)),
        (both, &[GCM_256], Some(Version::V13)),
        // The library's 1.2 server prefers the longer key, too.
        (both, &[GCM_256, GCM_128, CM], Some(Version::V13)),
        // Nothing to gain by 1.2.
        (both, &[CM], Some(Version::V13)),
        (both, &[], Some(Version::V13)),
        // A profile that nobody here knows does not count as the first.
        (both, &[0x0002, GCM_128, CM], Some(Version::V13)),
        (both, &[0x0002, CM, GCM_128], Some(Version::V12)),
        (&[0xfefc], &[CM, GCM_256], Some(Version::V13)),
        (&[0xfefd], &[CM, GCM_256], Some(Version::V12)),
        // Without the extension the client speaks at most 1.2.
        (&[], &[GCM_256, CM], Some(Version::V12)),
        (&[0xfeff], &[CM], None),
    ] {
        let hello = put_together(&cut(&body(versions, profiles, 0), &[])).unwrap();
        assert_eq!(hello.offer.choose(DtlsVersions::Any).ok(), expected, "{versions:x?} {profiles:x?}");
    }
}

#[test]
fn aes_128_gcm_is_got_wherever_it_is_offered_if_a_version_leads_to_it() {
    let both: &[u16] = &[0xfefc, 0xfefd];
    for (versions, profiles, version, profile) in [
        // Chromium 156, Firefox 153, this library as a client, OpenSSL as it is told to.
        (both, &[CM, GCM_256, GCM_128][..], Version::Plain12, Profile::AeadAes128Gcm),
        (both, &[GCM_128, GCM_256, CM], Version::V13, Profile::AeadAes128Gcm),
        (both, &[GCM_256, GCM_128, CM], Version::Plain12, Profile::AeadAes128Gcm),
        (&[0xfefd], &[CM, GCM_128, GCM_256], Version::Plain12, Profile::AeadAes128Gcm),
        // Where it is not, the next best, and 1.2 only where it has the better one.
        (both, &[GCM_256, CM], Version::V13, Profile::AeadAes256Gcm),
        (both, &[CM, GCM_256], Version::Plain12, Profile::AeadAes256Gcm),
        (both, &[CM], Version::V13, Profile::Aes128CmSha1_80),
        (&[0xfefd], &[CM], Version::Plain12, Profile::Aes128CmSha1_80),
    ] {
        let offers = Offers { versions: versions.to_vec(), profiles: profiles.to_vec(), ..Offers::openssl() };
        assert_eq!(offers.answered(), Ok(version), "{versions:x?} {profiles:x?}");
        let body = offers.body();
        let hello = put_together(&[fragment(&body, 0, body.len())]).unwrap();
        // The library's 1.3 server takes the client's first.
        let taken = if version == Version::V13 {
            hello.offer.profiles.first().copied()
        } else {
            hello.client.profile
        };
        assert_eq!(taken, Some(profile), "{versions:x?} {profiles:x?}");
    }
}

#[test]
fn a_version_may_be_forbidden() {
    let hello = put_together(&cut(&body(&[0xfefc, 0xfefd], &[CM, GCM_256], 0), &[])).unwrap();
    assert_eq!(hello.offer.choose(DtlsVersions::Only13), Ok(Version::V13));
    assert_eq!(hello.offer.choose(DtlsVersions::Only12), Ok(Version::V12));
    let old = put_together(&cut(&body(&[], &[CM], 0), &[])).unwrap();
    assert_eq!(old.offer.choose(DtlsVersions::Only13).ok(), None);
}

#[test]
fn fragments_come_in_any_order_and_twice() {
    let body = body(&[0xfefc, 0xfefd], &[CM, GCM_256, GCM_128], 1300);
    let whole = fragment(&body, 0, body.len());
    for seed in 0..200 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut at: Vec<usize> =
            (0..rng.random_range(0..6)).map(|_| rng.random_range(1..body.len())).collect();
        at.sort_unstable();
        let mut datagrams = cut(&body, &at);
        let again = datagrams[rng.random_range(0..datagrams.len())].clone();
        datagrams.push(again);
        // A retransmission cut elsewhere overlaps.
        let middle = rng.random_range(1..body.len());
        datagrams.push(fragment(&body, middle / 2, middle));
        datagrams.shuffle(&mut rng);
        let hello = put_together(&datagrams).unwrap_or_else(|| panic!("seed {seed}: not put together"));
        // All but the record's version and sequence number is the same.
        assert_eq!(hello.datagram[11..], whole[11..], "seed {seed}");
    }
}

#[test]
fn two_fragments_may_share_a_datagram() {
    let body = body(&[0xfefd], &[GCM_256], 100);
    let datagram = cut(&body, &[50]).concat();
    assert!(put_together(&[datagram]).is_some());
}

#[test]
fn a_hello_that_is_not_all_there_stays_put() {
    let body = body(&[0xfefd], &[GCM_256], 600);
    let mut datagrams = cut(&body, &[200, 400]);
    datagrams.remove(1);
    assert!(put_together(&datagrams).is_none());
}

#[test]
fn a_hello_is_bounded() {
    let mut reassembly = Reassembly::default();
    let long = vec![0; (8 << 10) + 1];
    assert_eq!(reassembly.take(&fragment(&long, 0, 10)).unwrap_err(), Reject::Limit);
    // Many holes.
    let body = vec![0; 4000];
    let results: Vec<_> = (0..100)
        .map(|i| reassembly.take(&fragment(&body, i * 4, i * 4 + 1)).map(|hello| hello.is_some()))
        .collect();
    assert_eq!(results.iter().filter(|r| **r == Ok(false)).count(), 16);
    assert_eq!(results.last(), Some(&Err(Reject::Limit)));
}

#[test]
fn what_is_no_hello_is_refused() {
    let whole = fragment(&body(&[0xfefd], &[GCM_256], 0), 0, body(&[0xfefd], &[GCM_256], 0).len());
    let mut reassembly = Reassembly::default();
    let with = |place: usize, value: u8| {
        let mut copy = whole.clone();
        copy[place] = value;
        copy
    };
    for (what, datagram) in [
        ("a change of cipher", with(0, 20)),
        ("a later epoch", with(4, 1)),
        ("another message", with(13, 2)),
        ("a later message", with(18, 1)),
        ("a fragment longer than its record", with(24, 255)),
        ("nothing", Vec::new()),
    ] {
        assert_eq!(reassembly.take(&datagram).unwrap_err(), Reject::Unexpected, "{what}");
    }
    // A fragment that reaches over the end of its message.
    let mut over = fragment(&[0; 20], 10, 20);
    over[21] = 11;
    assert_eq!(reassembly.take(&over).unwrap_err(), Reject::Malformed);
}

#[test]
fn damaged_hellos_never_panic() {
    let body = body(&[0xfefc, 0xfefd], &[CM, GCM_256, GCM_128], 30);
    let whole = fragment(&body, 0, body.len());
    for len in 0..whole.len() {
        assert!(Reassembly::default().take(&whole[..len]).is_err(), "cut at {len}");
    }
    for bit in 0..whole.len() * 8 {
        let mut copy = whole.clone();
        copy[bit / 8] ^= 1 << (bit % 8);
        let _ = Reassembly::default().take(&copy);
    }
    for len in 0..body.len() {
        let _ = Reassembly::default().take(&fragment(&body[..len], 0, len));
    }
}

#[test]
fn a_server_hello_is_looked_through_to_its_end() {
    // RFC 5246 section 7.4.1.3: version, random, no session id, suite, no compression, one extension.
    let mut hello = words(&[0xfefd]);
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0xc0, 0x2b, 0]);
    assert!(is_server_hello(&hello), "extensions may be missing");
    hello.extend_from_slice(&[0, 6, 0, 43, 0, 2, 0xfe, 0xfc]);
    assert!(is_server_hello(&hello));
    for len in 0..hello.len() {
        assert!(!is_server_hello(&hello[..len]) || len == hello.len() - 8, "cut at {len}");
    }
    let mut short = hello.clone();
    // supported_versions claims two bytes behind the end.
    short.truncate(hello.len() - 2);
    short[39] = 4;
    assert!(!is_server_hello(&short));
}

#[test]
fn nothing_is_allocated_before_a_description() {
    let mut dtls = Dtls::new(certificate(0).clone(), DtlsVersions::Any);
    let hello = fragment(&body(&[0xfefd], &[GCM_256], 0), 0, body(&[0xfefd], &[GCM_256], 0).len());
    assert_eq!(dtls.handle(start(), &hello), Err(Reject::Unexpected));
    assert!(matches!(dtls.state, State::Idle));
}

#[test]
fn an_offer_without_common_version_is_answered_with_an_alert_and_ends_the_association() {
    let mut dtls = Dtls::new(certificate(0).clone(), DtlsVersions::Any);
    dtls.set_remote(DtlsRole::Server, &[certificate(1).fingerprint()]);
    let body = body(&[0xfeff], &[GCM_256], 0);
    assert_eq!(dtls.handle(start(), &fragment(&body, 0, body.len())), Ok(()));
    let mut buf = [0; 100];
    assert_eq!(dtls.poll_transmit(&mut buf), Some(15));
    assert_eq!(buf[..3], [21, 0xfe, 0xfd], "an alert");
    assert!(matches!(dtls.poll_notice(), Some(Notice::Over(FailReason::Dtls))));
    assert!(dtls.poll_notice().is_none() && dtls.poll_timeout().is_none());
}
