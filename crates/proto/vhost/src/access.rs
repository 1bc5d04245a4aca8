//! Who may publish and play.

use auth::{ApiKeys, Claims};
use clock::Time;
use media::Name;

use crate::{App, Directory, Place, Policy, Protocol, Query};

/// What somebody wants to do with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Publish,
    Play,
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a token is needed: ?token=")]
    NoToken,
    #[error("{0}")]
    BadToken(#[from] auth::Error),
    #[error("wrong stream key")]
    WrongKey,
    #[error("the token does not allow this, or not for this stream")]
    Forbidden,
    #[error("this protocol is switched off here")]
    Off,
}

impl Refusal {
    /// As HTTP says it (RFC 9110 section 15).
    pub fn status(&self) -> u16 {
        match self {
            Self::NoToken | Self::BadToken(_) | Self::WrongKey => 401,
            Self::Forbidden | Self::Off => 403,
        }
    }
}

/// Who was let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bearer {
    /// As the token says; empty without one.
    pub identity: String,
}

/// Judges by what came with an address.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub directory: &'a Directory,
    pub keys: &'a ApiKeys,
}

impl Access<'_> {
    /// Whether `place` may be published or played by `protocol` with these parameters.
    pub fn judge(
        &self,
        now: Time,
        action: Action,
        protocol: Protocol,
        place: &Place,
        query: &Query,
    ) -> Result<Bearer, Refusal> {
        if !place.app.protocols.is_on(protocol) {
            return Err(Refusal::Off);
        }
        let policy = match action {
            Action::Publish => place.app.publish,
            Action::Play => place.app.play,
        };
        if action == Action::Publish
            && let Some(offered) = query.get("key")
        {
            let key = place.app.stream_keys.get(place.name.stream());
            return match key.is_some_and(|key| key.is(offered)) || policy == Policy::Open {
                true => Ok(Bearer::default()),
                false => Err(Refusal::WrongKey),
            };
        }
        match (policy, query.token()) {
            (Policy::Open, _) => Ok(Bearer::default()),
            (Policy::Token, None) => Err(Refusal::NoToken),
            (Policy::Token, Some(token)) => {
                let claims = auth::verify(token, self.keys, now)?;
                if self.allows(&claims, action, &place.name) {
                    Ok(Bearer { identity: claims.identity })
                } else {
                    Err(Refusal::Forbidden)
                }
            }
        }
    }

    /// Whether a token's `live` grant covers it.
    fn allows(&self, claims: &Claims, action: Action, name: &Name) -> bool {
        let Some(grant) = &claims.live else { return false };
        let may = match action {
            Action::Publish => grant.publish,
            Action::Play => grant.play,
        };
        may && self.matches(&grant.stream, name)
    }

    /// `domain/app/stream`, `app/stream` of the default domain, or `*` in place of any part.
    fn matches(&self, pattern: &str, name: &Name) -> bool {
        let parts: Vec<&str> = pattern.split('/').collect();
        let [domain, app, stream] = match parts.as_slice() {
            [app, stream] => [self.directory.default_domain(), app, stream],
            [domain, app, stream] => [*domain, *app, *stream],
            _ => return false,
        };
        let fits = |pattern: &str, part: &str| pattern == "*" || pattern == part;
        (domain == "*" || domain.eq_ignore_ascii_case(name.domain()))
            && fits(app, name.app())
            && fits(stream, name.stream())
    }
}

impl App {
    /// The stream that a key publishes when it is given in place of a name, as software with one field for
    /// "stream key" does.
    pub fn stream_of_key(&self, offered: &str) -> Option<&str> {
        // All are compared, so that time does not tell which.
        let matching = self.stream_keys.iter().filter(|(_, key)| key.is(offered));
        matching.fold(None, |found, (stream, _)| found.or(Some(stream.as_str())))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test has to begin somewhere
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use auth::LiveGrant;

    use super::*;
    use crate::{Domain, StreamKey};

    fn now() -> Time {
        Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
    }

    fn keys() -> ApiKeys {
        let mut keys = ApiKeys::new();
        keys.insert("k", "0123456789012345678901234567890123").unwrap();
        keys
    }

    fn token(grant: Option<LiveGrant>) -> String {
        let keys = keys();
        let (key, secret) = keys.signing().unwrap();
        let claims = Claims { identity: "me".into(), live: grant, ..Claims::default() };
        auth::issue(&claims, key, secret, now(), Duration::from_secs(60))
    }

    fn grant(stream: &str, publish: bool, play: bool) -> Option<LiveGrant> {
        Some(LiveGrant { publish, play, stream: stream.into(), ..LiveGrant::default() })
    }

    /// What becomes of it at `main/live/demo`.
    fn judge(app: App, action: Action, query: &str) -> Result<Bearer, Refusal> {
        let domain =
            Domain { name: "main".into(), apps: [("live".into(), Arc::new(app))].into(), auto: None };
        let directory = Directory::new(vec![domain]);
        let place = directory.stream("h", "live/demo").unwrap();
        let keys = keys();
        let access = Access { directory: &directory, keys: &keys };
        access.judge(now(), action, Protocol::Rtmp, &place, &Query::parse(query))
    }

    #[test]
    fn publishing_needs_a_token_and_playing_none_unless_said_otherwise() {
        assert_eq!(judge(App::default(), Action::Publish, ""), Err(Refusal::NoToken));
        assert_eq!(judge(App::default(), Action::Play, ""), Ok(Bearer::default()));
        let open = App { publish: Policy::Open, ..App::default() };
        assert_eq!(judge(open, Action::Publish, ""), Ok(Bearer::default()));
        let closed = App { play: Policy::Token, ..App::default() };
        assert_eq!(judge(closed.clone(), Action::Play, "token="), Err(Refusal::NoToken));
        let query = format!("token={}", token(grant("live/demo", false, true)));
        assert_eq!(judge(closed, Action::Play, &query).unwrap().identity, "me");
    }

    #[test]
    fn a_token_is_for_what_it_says() {
        let publish = |grant| judge(App::default(), Action::Publish, &format!("token={}", token(grant)));
        for good in ["live/demo", "main/live/demo", "live/*", "*/*/*", "MAIN/*/demo"] {
            assert_eq!(publish(grant(good, true, false)).unwrap().identity, "me", "{good}");
        }
        for bad in ["", "demo", "live/other", "other/live/demo", "*", "live/dem*", "a/live/demo/x"] {
            assert_eq!(publish(grant(bad, true, true)), Err(Refusal::Forbidden), "{bad}");
        }
        assert_eq!(publish(grant("live/demo", false, true)), Err(Refusal::Forbidden), "it is to play");
        assert_eq!(publish(None), Err(Refusal::Forbidden), "it is for a room");
        let forged = format!("{}x", token(grant("live/demo", true, true)));
        let refusal = judge(App::default(), Action::Publish, &format!("token={forged}")).unwrap_err();
        assert_eq!(refusal.status(), 401);
    }

    #[test]
    fn a_stream_key_publishes_its_stream() {
        let key = StreamKey::new("hush").unwrap();
        let app = App { stream_keys: [("demo".into(), key)].into(), ..App::default() };
        assert!(judge(app.clone(), Action::Publish, "key=hush").is_ok());
        assert_eq!(judge(app.clone(), Action::Publish, "key=loud"), Err(Refusal::WrongKey));
        assert_eq!(judge(App::default(), Action::Publish, "key=hush"), Err(Refusal::WrongKey));
        assert_eq!(app.stream_of_key("hush"), Some("demo"));
        assert_eq!(app.stream_of_key("demo"), None);
        // It opens nothing else.
        let closed = App { play: Policy::Token, ..app };
        assert_eq!(judge(closed, Action::Play, "key=hush"), Err(Refusal::NoToken));
    }

    #[test]
    fn what_is_switched_off_is_off_whoever_asks() {
        let mut app = App { publish: Policy::Open, ..App::default() };
        app.protocols.switch(Protocol::Rtmp, false);
        assert_eq!(judge(app.clone(), Action::Publish, ""), Err(Refusal::Off));
        assert_eq!(judge(app, Action::Play, ""), Err(Refusal::Off));
    }
}
