//! Protobuf's JSON as others write it.
//!
//! A field that is `null` is one that is not said (protobuf's JSON mapping); the generated readers know none.

use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// Reads a message from its text.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    from_value(serde_json::from_slice(text)?)
}

/// Reads a message that stands in other JSON.
pub(crate) fn from_value<T: DeserializeOwned>(mut value: Value) -> Result<T, Error> {
    drop_nulls(&mut value);
    serde_json::from_value(value)
}

/// The parser has bounded how deep this goes.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use livekit_protocol as proto;

    use super::*;

    #[test]
    fn what_is_null_is_not_said() {
        let text = br#"{"name": "a", "metadata": null, "maxParticipants": null, "agents": [{"agentName": "b", "metadata": null}]}"#;
        let read: proto::CreateRoomRequest = read(text).unwrap();
        assert_eq!((read.name.as_str(), read.metadata.as_str(), read.max_participants), ("a", "", 0));
        assert_eq!((read.agents[0].agent_name.as_str(), read.agents[0].metadata.as_str()), ("b", ""));
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        for text in ["", "null", "[]", r#"{"name": 5}"#, r#"{"agents": [null]}"#, r#"{"agents": {}}"#] {
            assert!(read::<proto::CreateRoomRequest>(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read::<proto::CreateRoomRequest>("[".repeat(100_000).as_bytes()).is_err());
    }
}
