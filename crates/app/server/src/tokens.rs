//! `generate-keys`, `create-join-token` and `create-live-token`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use auth::{Claims, LiveGrant, VideoGrant};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::cli::{JoinToken, LiveToken};
use crate::config::Settings;
use crate::say;

/// Bytes of randomness in a key's name and in a secret.
const KEY_BYTES: usize = 9;
const SECRET_BYTES: usize = 33;

pub(crate) fn generate_keys() -> anyhow::Result<()> {
    let key = random_text::<KEY_BYTES>()?.replace(['-', '_'], "x");
    say(format_args!("API Key:     API{key}\nAPI Secret:  {}", random_text::<SECRET_BYTES>()?))
}

fn random_text<const N: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("the system has no randomness to give")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

pub(crate) fn create_join_token(wanted: &JoinToken, settings: &Settings) -> anyhow::Result<()> {
    if wanted.room.is_empty() || wanted.identity.is_empty() {
        bail!("--room and --identity must not be empty");
    }
    let grant = VideoGrant {
        recorder: wanted.recorder,
        hidden: wanted.recorder,
        can_publish: wanted.recorder.then_some(false),
        can_publish_data: wanted.recorder.then_some(false),
        ..VideoGrant::to_join(&wanted.room)
    };
    let claims = Claims {
        identity: wanted.identity.clone(),
        name: wanted.name.clone().unwrap_or_default(),
        video: Some(grant),
        ..Claims::default()
    };
    print(&claims, wanted.valid_for, settings)
}

pub(crate) fn create_live_token(wanted: &LiveToken, settings: &Settings) -> anyhow::Result<()> {
    if !(wanted.publish || wanted.play || wanted.admin) {
        bail!("a token for what? Give --publish, --play or --admin");
    }
    let is_stream = matches!(wanted.stream.split('/').count(), 2 | 3);
    if (wanted.publish || wanted.play) && !is_stream {
        bail!("--stream is app/stream or domain/app/stream");
    }
    let grant = LiveGrant {
        publish: wanted.publish,
        play: wanted.play,
        admin: wanted.admin,
        stream: wanted.stream.clone(),
    };
    let claims = Claims { identity: wanted.identity.clone(), live: Some(grant), ..Claims::default() };
    print(&claims, wanted.valid_for, settings)
}

fn print(claims: &Claims, valid_for: Duration, settings: &Settings) -> anyhow::Result<()> {
    let (key, secret) =
        settings.api.keys.signing().context("no API key to sign with: give --keys, --config or --dev")?;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = clock::Time { mono: Instant::now(), unix };
    say(format_args!("{}", auth::issue(claims, key, secret, now, valid_for)))
}
