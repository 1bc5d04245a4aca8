//! SRTP and SRTCP: nothing forged opens, everything sealed does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use srtp::{Profile, Role};

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let profile =
        [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm][usize::from(first % 3)];
    let material = vec![7; profile.keying_material_len()];
    let Ok((mut inbound, _)) = srtp::contexts(profile, &material, Role::Server) else { return };
    let Ok((_, mut outbound)) = srtp::contexts(profile, &material, Role::Client) else { return };
    let header = usize::from(first >> 2);
    let mut packet = rest.to_vec();
    assert!(inbound.open_rtp(&mut packet, header).is_err(), "a forged packet opened");
    let mut packet = rest.to_vec();
    assert!(inbound.open_rtcp(&mut packet).is_err(), "a forged RTCP packet opened");
    let mut sealed = rest.to_vec();
    sealed.resize(rest.len() + 32, 0);
    if let Ok(len) = outbound.seal_rtp(&mut sealed, header, rest.len()) {
        sealed.truncate(len);
        let opened = inbound.open_rtp(&mut sealed, header).map(|len| sealed[..len].to_vec());
        assert_eq!(opened.as_deref(), Ok(rest));
    }
});
