//! From exported keying material to session keys.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use crate::cipher::Cipher;
use crate::{Inbound, Outbound, Profile};

/// Our DTLS role, which says whose half of the keying material is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We sent the ClientHello: we seal with the client's write key.
    Client,
    /// We seal with the server's write key.
    Server,
}

/// Keying material that does not make contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not [`Profile::keying_material_len`] bytes.
    #[error("keying material of {got} bytes where the profile takes {want}")]
    Length { got: usize, want: usize },
    /// The cipher library refused a key.
    #[error("the cipher refused the key")]
    Refused,
}

/// The contexts of one transport, out of what DTLS exports under `EXTRACTOR-dtls_srtp` (RFC 5764
/// section 4.2): client key, server key, client salt, server salt.
pub fn contexts(profile: Profile, material: &[u8], role: Role) -> Result<(Inbound, Outbound), KeyError> {
    let want = profile.keying_material_len();
    let wrong = KeyError::Length { got: material.len(), want };
    if material.len() != want {
        return Err(wrong);
    }
    let (keys, salts) = material.split_at_checked(2 * profile.key_len()).ok_or(wrong)?;
    let (client_key, server_key) = keys.split_at_checked(profile.key_len()).ok_or(wrong)?;
    let (client_salt, server_salt) = salts.split_at_checked(profile.salt_len()).ok_or(wrong)?;
    let client = Session::derive(profile, client_key, client_salt)?;
    let server = Session::derive(profile, server_key, server_salt)?;
    let (ours, theirs) = match role {
        Role::Client => (client, server),
        Role::Server => (server, client),
    };
    Ok((Inbound::new(profile, theirs), Outbound::new(profile, ours)))
}

/// One direction's ciphers.
pub(crate) struct Session {
    pub(crate) rtp: Cipher,
    pub(crate) rtcp: Cipher,
}

/// Labels of RFC 3711 section 4.3.2; RTCP's lie three above RTP's.
const LABEL_KEY: u8 = 0;
const LABEL_AUTH: u8 = 1;
const LABEL_SALT: u8 = 2;
const LABEL_RTCP: u8 = 3;

/// HMAC-SHA1's key, bytes, RFC 3711 section 5.2.
const AUTH_KEY_LEN: usize = 20;

impl Session {
    pub(crate) fn derive(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let prf = Prf::new(key, salt)?;
        Ok(Self { rtp: Self::cipher(profile, &prf, 0)?, rtcp: Self::cipher(profile, &prf, LABEL_RTCP)? })
    }

    fn cipher(profile: Profile, prf: &Prf, offset: u8) -> Result<Cipher, KeyError> {
        let mut key = [0; 32];
        let key = key.get_mut(..profile.key_len()).ok_or(KeyError::Refused)?;
        prf.fill(LABEL_KEY + offset, key)?;
        let mut salt = [0; 14];
        let salt = salt.get_mut(..profile.salt_len()).ok_or(KeyError::Refused)?;
        prf.fill(LABEL_SALT + offset, salt)?;
        let mut auth = [0; AUTH_KEY_LEN];
        prf.fill(LABEL_AUTH + offset, &mut auth)?;
        Cipher::new(profile, key, salt, &auth)
    }
}

/// The key derivation function, AES-CM keyed with the master key, RFC 3711 section 4.3.3. A key
/// derivation rate of zero, which is all that DTLS-SRTP uses.
pub(crate) struct Prf {
    key: EncryptingKey,
    /// Padded with zeroes behind: a 96-bit salt counts as the upper bits of a 112-bit one (RFC 7714
    /// section 11), and the block counter takes the last 16.
    salt: [u8; 16],
}

impl Prf {
    pub(crate) fn new(key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
        let key = UnboundCipherKey::new(algorithm, key).map_err(|_| KeyError::Refused)?;
        let mut padded = [0; 16];
        padded.get_mut(..salt.len()).ok_or(KeyError::Refused)?.copy_from_slice(salt);
        Ok(Self { key: EncryptingKey::ctr(key).map_err(|_| KeyError::Refused)?, salt: padded })
    }

    /// Fills `out`, which is all zero, with the key stream of `label`.
    pub(crate) fn fill(&self, label: u8, out: &mut [u8]) -> Result<(), KeyError> {
        let mut iv = self.salt;
        // The label lies above the 48-bit index, which is zero here.
        iv[7] ^= label;
        self.key
            .less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv)))
            .map_err(|_| KeyError::Refused)?;
        Ok(())
    }
}
