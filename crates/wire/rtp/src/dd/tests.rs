use super::*;
use proptest::prelude::*;

/// L1T2 with one chain, built field by field after appendix A.8.2 ("L1T2" of the scalability structures in
/// its annex A.10: two decode targets, templates T0 key, T0 delta, T1).
fn l1t2() -> Structure {
    let template = |temporal, indications: [u32; 2], diffs: &[u16], chain| {
        let mut t = Template { temporal, ..Template::default() };
        t.indications.set(0, indications[0]);
        t.indications.set(1, indications[1]);
        for d in diffs {
            t.frame_diffs.push(*d).unwrap();
        }
        t.chain_diffs.0[0] = chain;
        t
    };
    Structure {
        template_id_offset: 60,
        targets: 2,
        templates: vec![
            template(0, [2, 2], &[], 0),
            template(0, [2, 2], &[2], 2),
            template(1, [0, 1], &[1], 1),
        ],
        chains: 1,
        protected_by: vec![0, 0],
        resolutions: vec![(640, 360)],
    }
}

fn key() -> Descriptor {
    let s = Arc::new(l1t2());
    Descriptor {
        start_of_frame: true,
        end_of_frame: false,
        template_id: 60,
        frame_number: 1000,
        active_targets: Some(3),
        spatial: 0,
        temporal: 0,
        indications: s.templates[0].indications,
        frame_diffs: Diffs::default(),
        chain_diffs: ChainDiffs::default(),
        custom: Custom::default(),
        structure: Some(s),
    }
}

fn bytes_of(d: &Descriptor) -> Vec<u8> {
    let mut out = [0xff; 64];
    let n = d.write(&l1t2(), &mut out).unwrap();
    out[..n].to_vec()
}

#[test]
fn a_key_frame_brings_its_structure() {
    let bytes = bytes_of(&key());
    let d = Descriptor::parse(&bytes, None).unwrap();
    assert_eq!(d, key());
    let s = d.structure.unwrap();
    assert_eq!((s.target_layers(0), s.target_layers(1)), ((0, 0), (0, 1)));
    assert_eq!(s.target_within(3, 0, 9), Some(1));
    assert_eq!(s.target_within(1, 0, 9), Some(0));
    assert_eq!(s.target_within(3, 9, 0), Some(0));
    assert_eq!(s.target_within(0, 9, 9), None);
    assert_eq!(s.chain_of(1), Some(0));
}

#[test]
fn bits_lie_as_the_specification_says() {
    let bytes = bytes_of(&key());
    assert_eq!(bytes, expected_bits());
}

/// [`key`] by hand, in the order of appendix A.8.2: start, end, template id, number; structure present, no
/// active targets, nothing custom; offset, targets - 1, layer steps; indications; frame diffs; one chain by
/// ns(3), protected_by by ns(1) without bits, chain diffs; resolutions.
fn expected_bits() -> Vec<u8> {
    let text = "1 0 111100 0000001111101000 1 0 0 0 0 111100 00001 00 01 11 1010 1010 0001 \
                0 1 0001 0 1 0000 0 10 0000 0010 0001 1 0000001001111111 0000000101100111";
    let mut bits: Vec<u8> = text.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
    bits.resize(bits.len().next_multiple_of(8), 0);
    bits.chunks(8).map(|c| c.iter().fold(0, |v, b| v << 1 | b)).collect()
}

#[test]
fn three_byte_descriptors_need_the_structure() {
    let mut state = State::default();
    let delta = [0xc0 | 62, 0x03, 0xe9];
    assert_eq!(state.read(&delta), Err(Malformed::Forbidden));
    state.read(&bytes_of(&key())).unwrap();
    let d = state.read(&delta).unwrap();
    assert_eq!((d.frame_number, d.temporal, d.end_of_frame), (1001, 1, true));
    assert_eq!(d.frame_diffs.as_slice(), [1]);
    assert_eq!(
        (d.indications.get(0), d.indications.get(1)),
        (Indication::NotPresent, Indication::Discardable)
    );
    assert_eq!(d.indications.get(200), Indication::NotPresent);
    // A template that the structure does not have.
    assert_eq!(state.read(&[0xc0 | 63, 0x03, 0xe9]), Err(Malformed::Forbidden));
}

#[test]
fn custom_values_and_active_targets_read_back() {
    let mut state = State::default();
    state.read(&bytes_of(&key())).unwrap();
    let known = state.structure().unwrap().clone();
    let mut d = Descriptor::parse(&[0xc0 | 61, 0, 9], Some(&known)).unwrap();
    d.active_targets = Some(1);
    d.custom = Custom { indications: true, frame_diffs: true, chain_diffs: true };
    d.indications = Indications::default();
    d.indications.set(1, 3);
    d.frame_diffs = Diffs::default();
    for diff in [1, 16, 17, 256, 257, 4096] {
        d.frame_diffs.push(diff).unwrap();
    }
    d.chain_diffs.0[0] = 255;
    let mut out = [0; 64];
    let n = d.write(&known, &mut out).unwrap();
    assert_eq!(state.read(&out[..n]), Ok(d.clone()));
    assert_eq!(state.active_targets(), 1);
    for short in 0..n {
        assert!(Descriptor::parse(&out[..short], Some(&known)).is_err() || short == 3, "at {short}");
        assert_eq!(d.write(&known, &mut out[..short].to_vec()), None);
    }
}

#[test]
fn a_descriptor_cut_anywhere_is_an_error() {
    let bytes = bytes_of(&key());
    for n in 0..bytes.len() {
        assert!(Descriptor::parse(&bytes[..n], None).is_err(), "at {n}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..4)) {
        let mut state = State::default();
        let _ = state.read(&bytes_of(&key()));
        for v in values {
            if let Ok(d) = state.read(&v) {
                // What was read can be written, and says the same.
                let s = state.structure().unwrap().clone();
                let mut out = [0; 512];
                let n = d.write(&s, &mut out).unwrap();
                prop_assert_eq!(Descriptor::parse(&out[..n], Some(&s)).unwrap(), d);
                let _ = s.target_within(u32::MAX, 3, 3);
            }
        }
    }
}
