use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clock::Time;
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

#[expect(clippy::disallowed_methods, reason = "there is no other way to make an Instant")]
fn now() -> Time {
    Time { mono: Instant::now(), unix: Duration::from_secs(NOW) }
}

fn keys() -> ApiKeys {
    let mut keys = ApiKeys::new();
    keys.insert("devkey", "secret").unwrap();
    keys.insert("other", "a secret that has more than thirty-two bytes").unwrap();
    keys
}

/// Signs whatever JSON with whatever header, as a careless or hostile issuer might.
fn sign(header: &str, body: &str, secret: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
    let tag = Secret::new(secret).unwrap().sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn token(body: serde_json::Value) -> String {
    sign(r#"{"alg":"HS256","typ":"JWT"}"#, &body.to_string(), "secret")
}

fn check(body: serde_json::Value) -> Result<Claims, Error> {
    verify(&token(body), &keys(), now())
}

#[test]
fn the_example_of_rfc_7515_a_1_has_the_signature_we_compute() {
    // Vector: RFC 7515 appendix A.1.1, key as octets.
    let key = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
                  .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(tag), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

#[test]
fn a_token_of_a_livekit_server_sdk_is_understood() {
    // Vector: the claims that npm livekit-server-sdk 2.x writes for addGrant({room, roomJoin, canPublish}).
    let claims = check(json!({
        "name": "Ann", "attributes": {"seat": "3"}, "metadata": "m",
        "video": {"room": "garden", "roomJoin": true, "canPublish": false, "canPublishSources": ["CAMERA", "x"]},
        "iss": "devkey", "exp": NOW + 600, "nbf": 0, "sub": "ann", "kind": "standard"
    }))
    .unwrap();
    assert_eq!(claims.identity, "ann");
    assert_eq!(claims.api_key, "devkey");
    assert_eq!(claims.attributes["seat"], "3");
    assert_eq!(claims.expires_at, NOW as i64 + 600);
    let video = claims.video.unwrap();
    assert!(video.room_join && video.may_subscribe());
    assert!(!video.may_publish() && !video.may_publish_data(), "data follows publish when not said");
    assert_eq!(video.can_publish_sources, [Source::Camera, Source::Unknown]);
}

#[test]
fn grants_default_as_the_sdks_expect() {
    let video = check(json!({"iss": "devkey", "exp": NOW, "video": {}})).unwrap().video.unwrap();
    assert!(video.may_publish() && video.may_subscribe() && video.may_publish_data());
    assert!(!video.may_update_own_metadata() && !video.room_join);
    assert!(video.may_publish_source(Source::ScreenShare), "an empty list restricts nothing");
    let only_unknown = VideoGrant { can_publish_sources: vec![Source::Unknown], ..VideoGrant::default() };
    assert!(!only_unknown.may_publish_source(Source::Camera), "a list of unknown names allows no camera");
    let data_only =
        VideoGrant { can_publish: Some(false), can_publish_data: Some(true), ..VideoGrant::default() };
    assert!(data_only.may_publish_data() && !data_only.may_publish_source(Source::Microphone));
}

#[test]
fn identity_comes_from_sub_then_from_the_older_fields() {
    let id = |body| check(body).unwrap().identity;
    assert_eq!(id(json!({"iss": "devkey", "exp": NOW, "sub": "a", "jti": "b", "identity": "c"})), "a");
    assert_eq!(id(json!({"iss": "devkey", "exp": NOW, "sub": "", "jti": "b"})), "b");
    assert_eq!(id(json!({"iss": "devkey", "exp": NOW, "identity": "c"})), "c");
    assert_eq!(id(json!({"iss": "devkey", "exp": NOW})), "");
}

#[test]
fn old_tokens_say_their_kind_through_their_grants() {
    let kind = |kind: &str, video| {
        check(json!({"iss": "devkey", "exp": NOW, "kind": kind, "video": video})).unwrap().kind
    };
    assert_eq!(kind("", json!({"agent": true})), Kind::Agent);
    assert_eq!(kind("", json!({"recorder": true})), Kind::Egress);
    assert_eq!(kind("standard", json!({"agent": true})), Kind::Agent);
    assert_eq!(kind("sip", json!({"agent": true})), Kind::Sip);
    assert_eq!(kind("martian", json!({})), Kind::Standard);
}

#[test]
fn times_are_checked_with_a_minute_of_leeway_on_both_sides() {
    let with = |exp: serde_json::Value, nbf: serde_json::Value| {
        check(json!({"iss": "devkey", "exp": exp, "nbf": nbf})).map(|_| ())
    };
    assert_eq!(with(json!(NOW - 60), json!(null)), Ok(()));
    assert_eq!(with(json!(NOW - 61), json!(null)), Err(Error::Expired));
    assert_eq!(with(json!(NOW as f64 - 60.5), json!(null)), Err(Error::Expired), "fractions count");
    assert_eq!(with(json!(NOW), json!(NOW + 60)), Ok(()));
    assert_eq!(with(json!(NOW), json!(NOW + 61)), Err(Error::NotYetValid));
    assert_eq!(with(json!(null), json!(0)), Err(Error::NoExpiry));
    assert_eq!(with(json!(-5), json!(0)), Err(Error::Expired));
    assert_eq!(with(json!(1e300), json!(-1e300)), Ok(()), "absurd, but it does say so");
}

#[test]
fn forged_tokens_are_refused() {
    let body = json!({"iss": "devkey", "sub": "ann", "exp": NOW + 60}).to_string();
    let good = sign(r#"{"alg":"HS256"}"#, &body, "secret");
    assert!(verify(&good, &keys(), now()).is_ok());

    let refused = |token: &str| verify(token, &keys(), now()).unwrap_err();
    assert_eq!(refused(&sign(r#"{"alg":"HS256"}"#, &body, "guess")), Error::Signature);
    let other_body = body.replace("ann", "eve");
    let (head, rest) = good.split_once('.').unwrap();
    let (_, tag) = rest.split_once('.').unwrap();
    assert_eq!(refused(&format!("{head}.{}.{tag}", URL_SAFE_NO_PAD.encode(other_body))), Error::Signature);
    let (signed, tag) = good.rsplit_once('.').unwrap();
    let tag = URL_SAFE_NO_PAD.decode(tag).unwrap();
    let short = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&tag[..tag.len() - 1]));
    assert_eq!(refused(&short), Error::Signature, "a shortened tag");
    let unsigned = sign(r#"{"alg":"none"}"#, &body, "secret");
    assert_eq!(refused(&unsigned), Error::Algorithm);
    assert_eq!(refused(&format!("{}.", unsigned.rsplit_once('.').unwrap().0)), Error::Algorithm);
    for alg in ["RS256", "HS384", "hs256", ""] {
        assert_eq!(
            refused(&sign(&json!({"alg": alg}).to_string(), &body, "secret")),
            Error::Algorithm,
            "{alg}"
        );
    }
    let wrong_key = body.replace("devkey", "other");
    assert_eq!(refused(&sign(r#"{"alg":"HS256"}"#, &wrong_key, "secret")), Error::Signature);
    let unknown = body.replace("devkey", "nobody");
    assert_eq!(refused(&sign(r#"{"alg":"HS256"}"#, &unknown, "secret")), Error::UnknownKey);
    let none = json!({"sub": "ann", "exp": NOW + 60}).to_string();
    assert_eq!(refused(&sign(r#"{"alg":"HS256"}"#, &none, "secret")), Error::UnknownKey);
    assert!(matches!(
        refused(&sign(r#"{"alg":"HS256","crit":["b64"]}"#, &body, "secret")),
        Error::Malformed(_)
    ));
}

#[test]
fn malformed_tokens_are_refused() {
    for token in ["", ".", "..", "...", "a.b", "a.b.c", "é.é.é", "e30.e30.e30", "bearer x.y.z"] {
        assert!(matches!(verify(token, &keys(), now()), Err(Error::Malformed(_))), "{token}");
    }
    for body in [
        json!("x"),
        json!({"iss": 5, "exp": NOW}),
        json!({"iss": "devkey", "exp": "soon"}),
        json!({"iss": "devkey", "exp": NOW, "sub": {"a": 1}}),
        json!({"iss": "devkey", "exp": NOW, "attributes": {"a": 1}}),
        json!({"iss": "devkey", "exp": NOW, "attributes": ["a"]}),
        json!({"iss": "devkey", "exp": NOW, "video": "all"}),
        json!({"iss": "devkey", "exp": NOW, "video": {"roomJoin": "yes"}}),
        json!({"iss": "devkey", "exp": NOW, "video": {"canPublishSources": [1]}}),
    ] {
        assert!(matches!(check(body.clone()), Err(Error::Malformed(_))), "{body}");
    }
    let twice = format!(r#"{{"iss":"devkey","sub":"ann","sub":"eve","exp":{NOW}}}"#);
    let twice = sign(r#"{"alg":"HS256"}"#, &twice, "secret");
    assert!(matches!(verify(&twice, &keys(), now()), Err(Error::Malformed(_))), "a claim said twice");
    let deep = "[".repeat(100_000);
    let deep =
        sign(r#"{"alg":"HS256"}"#, &format!(r#"{{"iss":"devkey","exp":{NOW},"roomConfig":{deep}"#), "secret");
    assert!(matches!(verify(&deep, &keys(), now()), Err(Error::Malformed(_))), "nested beyond reason");
}

#[test]
fn nulls_are_absent_fields() {
    let claims = check(json!({
        "iss": "devkey", "exp": NOW, "sub": null, "name": null, "attributes": null, "video": {"room": null, "roomJoin": true,
        "canPublish": null, "canPublishSources": null, "hidden": null}, "roomConfig": null
    }))
    .unwrap();
    assert_eq!(claims.room_config, None);
    assert!(claims.video.unwrap().may_publish());
    assert_eq!(check(json!({"iss": "devkey", "exp": NOW, "video": null})).unwrap().video, None);
}

#[test]
fn an_issued_token_says_what_was_asked_for() {
    let claims = Claims {
        identity: "ann".into(),
        name: "Ann".into(),
        attributes: [("a".to_owned(), "b".to_owned())].into(),
        kind: Kind::Agent,
        video: Some(VideoGrant {
            can_publish_sources: vec![Source::ScreenShareAudio],
            can_subscribe: Some(false),
            ..VideoGrant::to_join("garden")
        }),
        room_config: Some(json!({"name": "big"})),
        ..Claims::default()
    };
    let keys = keys();
    let (key, secret) = keys.signing().unwrap();
    let token = issue(&claims, key, secret, now(), Duration::from_secs(600));
    let back = verify(&token, &keys, now()).unwrap();
    let (expires_at, not_before) = (NOW as i64 + 600, NOW as i64);
    assert_eq!(back, Claims { api_key: key.to_owned(), expires_at, not_before, ..claims });
    assert_eq!(verify(&token, &keys, now().after(Duration::from_secs(661))), Err(Error::Expired));
}

#[test]
fn secrets_are_not_printed_and_empty_ones_refused() {
    let mut keys = keys();
    assert!(!format!("{keys:?}").contains("thirty"));
    assert_eq!(keys.short().collect::<Vec<_>>(), ["devkey"]);
    assert_eq!(keys.insert("", "x"), Err(KeyError::EmptyKey));
    assert_eq!(keys.insert("k", ""), Err(KeyError::EmptySecret("k".into())));
    assert_eq!(keys.len(), 2);
}
