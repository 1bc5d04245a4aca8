//! What a room is made of when it opens: this server's settings, and what the token of the first one asks.

use std::time::Duration;

use auth::Claims;
use livekit_protocol::RoomConfiguration;
use tracing::debug;

use crate::Rooms;
use crate::app::Shared;
use crate::directory::Place;
use crate::protojson;

/// What is asked of a room by whoever opens it, the more particular after the more general.
pub(crate) type Asked = Vec<RoomConfiguration>;

/// Said to whoever opens a room by a preset that is not there.
pub(crate) const NO_PRESET: &str = "requested room preset does not exist";

/// Whether the room that a token's bearer opens can be as the token says.
pub(crate) fn is_possible(rooms: &Rooms, claims: &Claims) -> bool {
    claims.room_preset.is_empty() || rooms.presets.contains_key(&claims.room_preset)
}

/// What a token asks of the room that its bearer opens.
pub(crate) fn asked_by(rooms: &Rooms, claims: &Claims) -> Asked {
    let mut asked: Asked = rooms.presets.get(&claims.room_preset).cloned().into_iter().collect();
    if let Some(own) = &claims.room_config {
        match protojson::from_value::<RoomConfiguration>(own.clone()) {
            Ok(own) => asked.push(own),
            Err(error) => debug!(%error, "roomConfig of the token is not understood"),
        }
    }
    asked
}

/// The configuration of the room at `place`.
pub(crate) fn config(shared: &Shared, place: &Place, asked: &Asked) -> signal::Config {
    let rooms = &shared.config().rooms;
    let mut rules = rooms.rules.clone();
    for asked in asked {
        apply(&mut rules, asked);
    }
    signal::Config {
        room: place.name.clone(),
        serial: place.entry.serial,
        rules,
        codecs: rooms.codecs.clone(),
        profiles: rooms.profiles.clone(),
        ice_servers: rooms.ice_servers.clone(),
        server: rooms.server.clone(),
        media: signal::Media {
            fingerprint: shared.engine.fingerprint(),
            candidates: (0..shared.engine.workers()).map(|w| shared.engine.candidates(w)).collect(),
            ice_lite: rooms.ice_lite,
        },
        limits: rooms.signalling.clone(),
    }
}

/// What is zero or empty is not asked for.
fn apply(rules: &mut room::Config, asked: &RoomConfiguration) {
    if asked.empty_timeout > 0 {
        rules.empty_timeout = Duration::from_secs(asked.empty_timeout.into());
    }
    if asked.departure_timeout > 0 {
        rules.departure_timeout = Duration::from_secs(asked.departure_timeout.into());
    }
    if asked.max_participants > 0 {
        rules.max_participants = asked.max_participants;
    }
    if asked.min_playout_delay > 0 || asked.max_playout_delay > 0 {
        let delay = room::PlayoutDelay::of_millis(asked.min_playout_delay, asked.max_playout_delay);
        rules.playout_delay = Some(delay);
    }
    rules.sync_streams |= asked.sync_streams;
    if !asked.metadata.is_empty() && asked.metadata.len() <= rules.max_metadata {
        rules.metadata.clone_from(&asked.metadata);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_changes_only_what_it_names() {
        let asked =
            serde_json::json!({"maxParticipants": 5, "metadata": "m", "emptyTimeout": 0, "unheardOf": true});
        let asked: RoomConfiguration = serde_json::from_value(asked).unwrap();
        let mut rules = room::Config { departure_timeout: Duration::from_secs(7), ..room::Config::default() };
        apply(&mut rules, &asked);
        assert_eq!((rules.max_participants, rules.metadata.as_str()), (5, "m"));
        assert_eq!(rules.departure_timeout, Duration::from_secs(7));
        assert_eq!((rules.playout_delay, rules.sync_streams), (None, false));
        assert_eq!(rules.empty_timeout, room::Config::default().empty_timeout);
    }

    #[test]
    fn a_token_says_how_pictures_are_played() {
        let asked = serde_json::json!({"minPlayoutDelay": 300, "syncStreams": true});
        let asked: RoomConfiguration = serde_json::from_value(asked).unwrap();
        let mut rules = room::Config::default();
        apply(&mut rules, &asked);
        let delay = rules.playout_delay.unwrap();
        assert_eq!((delay.min, delay.max), (Duration::from_millis(300), Duration::from_secs(10)));
        assert!(rules.sync_streams);
    }

    #[test]
    fn metadata_beyond_the_limit_is_not_taken() {
        let mut rules = room::Config { max_metadata: 3, ..room::Config::default() };
        apply(&mut rules, &RoomConfiguration { metadata: "four".into(), ..RoomConfiguration::default() });
        assert_eq!(rules.metadata, "");
    }
}
