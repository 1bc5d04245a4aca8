//! Data blobs: what a participant leaves for the others to fetch, such as the schemas of its data tracks. They go with
//! the participant.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use prost::Message as _;
use proto::request_response::Reason;
use proto::signal_response::Message;
use room::ParticipantSid;

use crate::Conference;

/// Bytes of one blob, as LiveKit's protocol says.
const BLOB_MAX: usize = 50_000;

/// All blobs of a room.
#[derive(Debug, Default)]
pub(crate) struct Blobs(BTreeMap<ParticipantSid, BTreeMap<Vec<u8>, Vec<u8>>>);

impl Blobs {
    pub(crate) fn forget(&mut self, owner: &ParticipantSid) {
        self.0.remove(owner);
    }

    /// `limit`: bytes of all of the owner's blobs and their keys.
    fn store(
        &mut self,
        owner: &ParticipantSid,
        key: Vec<u8>,
        contents: Vec<u8>,
        limit: usize,
    ) -> Result<(), Reason> {
        if contents.len() > BLOB_MAX {
            return Err(Reason::LimitExceeded);
        }
        let mine = self.0.entry(owner.clone()).or_default();
        let others = mine.iter().filter(|(k, _)| **k != key).map(|(k, v)| k.len() + v.len()).sum::<usize>();
        if others + key.len() + contents.len() > limit {
            return Err(Reason::LimitExceeded);
        }
        mine.insert(key, contents);
        Ok(())
    }
}

impl Conference {
    pub(crate) fn on_store_blob(&mut self, sid: &ParticipantSid, request: proto::StoreDataBlobRequest) {
        let request_id = request.request_id;
        let limits = &self.config.limits;
        let may =
            limits.blobs && self.room.participant(sid).is_some_and(|p| p.who.permission.can_publish_data);
        let blob = request.blob.and_then(|blob| Some((blob.key?, blob.contents)));
        let stored = match blob {
            _ if !may => Err(Reason::NotAllowed),
            Some((key, contents)) if key.key.is_some() => {
                self.blobs.store(sid, key.encode_to_vec(), contents, limits.blobs_size).map(|()| key)
            }
            _ => Err(Reason::InvalidRequest),
        };
        match stored {
            Ok(key) => {
                let response = proto::StoreDataBlobResponse { request_id, key: Some(key) };
                self.tell(sid, Message::StoreDataBlobResponse(response));
            }
            Err(reason) => self.refuse_blob(sid, request_id, reason),
        }
    }

    pub(crate) fn on_get_blob(&mut self, sid: &ParticipantSid, request: &proto::GetDataBlobRequest) {
        let request_id = request.request_id;
        let owner = self.room.by_identity(&request.participant_identity);
        let seen = owner.filter(|owner| owner.sid == *sid || !owner.who.permission.hidden);
        let key = request.key.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default();
        let contents = seen.and_then(|owner| self.blobs.0.get(&owner.sid)?.get(&key).cloned());
        match contents {
            Some(contents) => {
                let blob = Some(proto::DataBlob { key: request.key.clone(), contents });
                self.tell(sid, Message::GetDataBlobResponse(proto::GetDataBlobResponse { request_id, blob }));
            }
            None => self.refuse_blob(sid, request_id, Reason::NotFound),
        }
    }

    fn refuse_blob(&mut self, sid: &ParticipantSid, request_id: u32, reason: Reason) {
        let response =
            proto::RequestResponse { request_id, reason: reason.into(), ..proto::RequestResponse::default() };
        self.tell(sid, Message::RequestResponse(response));
    }
}
