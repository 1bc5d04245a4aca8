//! Making and checking tokens: JWS compact serialisation (RFC 7515 section 3.1) around JWT claims.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clock::Time;
use serde::{Deserialize, Serialize};

use crate::claims::{is_default, nullable};
use crate::{ApiKeys, Claims, Kind, LiveGrant, Secret, SipGrant, VideoGrant};

/// How far the issuer's clock may be off in either direction.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// Lifetime of a token where its maker names none, as in LiveKit's server SDKs.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// Why a token was refused. None of them says anything that its bearer does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("invalid token: {0}")]
    Malformed(&'static str),
    #[error("invalid token: only HS256 signatures are accepted")]
    Algorithm,
    #[error("invalid API key")]
    UnknownKey,
    #[error("invalid token: wrong signature")]
    Signature,
    #[error("invalid token: it never expires")]
    NoExpiry,
    #[error("token has expired")]
    Expired,
    #[error("token is not valid yet")]
    NotYetValid,
}

/// The JOSE header; other members carry no meaning for us.
#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that must be understood (RFC 7515 section 4.1.11). We understand none.
    crit: Option<serde_json::Value>,
}

/// The claims as they are written.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    #[serde(deserialize_with = "nullable")]
    iss: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    sub: String,
    #[serde(deserialize_with = "nullable", skip_serializing)]
    identity: String,
    #[serde(deserialize_with = "nullable", skip_serializing)]
    jti: String,
    /// Numbers, perhaps with a fraction (RFC 7519 section 2, NumericDate).
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<serde_json::Number>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    name: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    metadata: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    attributes: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    kind: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    kind_details: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<VideoGrant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sip: Option<SipGrant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveGrant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_config: Option<serde_json::Value>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    room_preset: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_default")]
    sha256: String,
}

/// Checks signature and times of `token` and returns what it says. Whether that is enough for what its
/// bearer wants is for the caller to judge.
pub fn verify(token: &str, keys: &ApiKeys, now: Time) -> Result<Claims, Error> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Error::Malformed("it has no signature"))?;
    let (header, body) = signed.split_once('.').ok_or(Error::Malformed("it does not have three parts"))?;

    let header: Header = decode(header)?;
    if header.alg != "HS256" {
        return Err(Error::Algorithm);
    }
    if header.crit.is_some() {
        return Err(Error::Malformed("it needs an extension that is not supported"));
    }

    // The issuer has to be read before the signature can be checked; nothing else is looked at.
    let body: Body = decode(body)?;
    let secret = keys.get(&body.iss).ok_or(Error::UnknownKey)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Error::Malformed("it is not base64url"))?;
    if !secret.verify(signed.as_bytes(), &signature) {
        return Err(Error::Signature);
    }

    let now = now.unix.as_secs_f64();
    let leeway = LEEWAY.as_secs_f64();
    let exp = body.exp.as_ref().and_then(serde_json::Number::as_f64).ok_or(Error::NoExpiry)?;
    if now > exp + leeway {
        return Err(Error::Expired);
    }
    if body.nbf.as_ref().and_then(serde_json::Number::as_f64).is_some_and(|nbf| now < nbf - leeway) {
        return Err(Error::NotYetValid);
    }
    Ok(body.into_claims(exp))
}

/// Makes a token that holds from `now` for `lifetime`, signed as `key`.
pub fn issue(claims: &Claims, key: &str, secret: &Secret, now: Time, lifetime: Duration) -> String {
    let body = Body::from_claims(claims, key, now, lifetime);
    // Every key is a string and every value plain data, so writing it cannot fail.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut token = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(body, &mut token);
    let tag = secret.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(tag, &mut token);
    token
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Error> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed("it is not base64url"))?;
    serde_json::from_slice(&json).map_err(|_| Error::Malformed("its JSON is not that of an access token"))
}

impl Body {
    fn into_claims(self, exp: f64) -> Claims {
        let identity = [self.sub, self.identity, self.jti].into_iter().find(|id| !id.is_empty());
        Claims {
            kind: Kind::from_claims(&self.kind, self.video.as_ref()),
            api_key: self.iss,
            identity: identity.unwrap_or_default(),
            name: self.name,
            metadata: self.metadata,
            attributes: self.attributes,
            kind_details: self.kind_details,
            video: self.video,
            sip: self.sip,
            live: self.live,
            room_config: self.room_config.filter(|v| !v.is_null()),
            room_preset: self.room_preset,
            sha256: self.sha256,
            // A cast of a float saturates, so a date far beyond time is only very late.
            expires_at: exp as i64,
            not_before: self.nbf.as_ref().and_then(serde_json::Number::as_f64).unwrap_or_default() as i64,
        }
    }

    fn from_claims(claims: &Claims, key: &str, now: Time, lifetime: Duration) -> Self {
        Self {
            iss: key.to_owned(),
            sub: claims.identity.clone(),
            exp: Some(now.unix.saturating_add(lifetime).as_secs().into()),
            nbf: Some(now.unix.as_secs().into()),
            name: claims.name.clone(),
            metadata: claims.metadata.clone(),
            attributes: claims.attributes.clone(),
            kind: if claims.kind == Kind::Standard { String::new() } else { claims.kind.as_str().to_owned() },
            kind_details: claims.kind_details.clone(),
            video: claims.video.clone(),
            sip: claims.sip,
            live: claims.live.clone(),
            room_config: claims.room_config.clone(),
            room_preset: claims.room_preset.clone(),
            sha256: claims.sha256.clone(),
            ..Self::default()
        }
    }
}
