//! An agent that only answers (RFC 8445 section 2.5).
//!
//! It keeps no candidate pairs: a request that carries our password is a check passed, and the last request
//! that carries USE-CANDIDATE names the path. RFC 8445 section 8.1.1 would keep the nominated pair of highest
//! priority; browsers that lose a network go on to nominate one of lower priority, and following them at once
//! saves the user a pause.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use clock::Time;
use is::Sha1HmacProvider;
use is::stun::{StunMessage, TransId};

use super::Notice;
use super::hmac::Sha1;
use crate::{Credentials, LocalTransport, Path, Reject, Transmit, plain_address};

/// Addresses kept that have passed a check; the longest silent gives way. A browser on several networks,
/// both address families, behind NAT shows fewer than ten.
const MAX_PATHS: usize = 16;
/// Answers waiting to be polled; the oldest gives way, its request will be repeated.
const MAX_REPLIES: usize = 32;

/// The answering agent.
pub(crate) struct Lite {
    local: Credentials,
    /// Valid until the first check with the new ones: the far end keeps its consent alive with these while
    /// our description is on its way.
    previous: Option<Credentials>,
    remote_ufrag: Option<String>,
    paths: Vec<Known>,
    selected: Option<Path>,
    replies: VecDeque<Reply>,
    notices: VecDeque<Notice>,
}

struct Known {
    path: Path,
    heard: Instant,
}

struct Reply {
    path: Path,
    transaction: TransId,
    /// Signed with the credentials that the request used.
    previous: bool,
    /// Answer 487: the requester takes the role that is ours.
    conflict: bool,
}

impl Lite {
    pub(crate) fn new(local: LocalTransport) -> Self {
        Self {
            local: local.credentials,
            previous: None,
            remote_ufrag: None,
            paths: Vec::new(),
            selected: None,
            replies: VecDeque::new(),
            notices: VecDeque::new(),
        }
    }

    pub(crate) fn set_remote(&mut self, credentials: &Credentials) {
        self.remote_ufrag = Some(credentials.ufrag.clone());
    }

    pub(crate) fn restart(&mut self, credentials: Credentials) {
        if credentials == self.local {
            return;
        }
        self.previous = Some(std::mem::replace(&mut self.local, credentials));
        // The far end's next fragment is not known before its description is; until then the password alone
        // must do, as it does before the first description.
        self.remote_ufrag = None;
    }

    pub(crate) fn handle(&mut self, now: Time, path: Path, datagram: &[u8]) -> Result<(), Reject> {
        let message = StunMessage::parse(datagram).map_err(|_| Reject::Malformed)?;
        if !message.is_binding_request() {
            return Err(Reject::Foreign);
        }
        let (ours, theirs) = message.split_username().ok_or(Reject::Malformed)?;
        let (credentials, previous) = match &self.previous {
            _ if ours == self.local.ufrag => (&self.local, false),
            Some(previous) if ours == previous.ufrag => (previous, true),
            _ => return Err(Reject::Foreign),
        };
        if !previous && self.remote_ufrag.as_deref().is_some_and(|known| known != theirs) {
            return Err(Reject::Foreign);
        }
        if !message.verify(credentials.pwd.as_bytes(), |key, parts| Sha1.sha1_hmac(key, parts)) {
            return Err(Reject::Unauthentic);
        }
        if !previous {
            self.previous = None;
        }
        // A lite agent is always the controlled one, RFC 8445 section 6.1.1.
        let conflict = message.ice_controlled().is_some();
        if self.replies.len() >= MAX_REPLIES {
            self.replies.pop_front();
        }
        self.replies.push_back(Reply { path, transaction: message.trans_id(), previous, conflict });
        if !conflict {
            self.note(now, path);
            if message.use_candidate() && self.selected != Some(path) {
                self.selected = Some(path);
                self.notices.push_back(Notice::Selected(path));
            }
        }
        Ok(())
    }

    /// Remembers that a check came over this path.
    fn note(&mut self, now: Time, path: Path) {
        if let Some(known) = self.paths.iter_mut().find(|k| k.path.remote == path.remote) {
            known.heard = now.mono;
            known.path = path;
            return;
        }
        if self.paths.len() >= MAX_PATHS {
            let selected = self.selected.map(|p| p.remote);
            let oldest = self
                .paths
                .iter()
                .enumerate()
                .filter(|(_, k)| Some(k.path.remote) != selected)
                .min_by_key(|(_, k)| k.heard)
                .map(|(i, _)| i);
            if let Some(index) = oldest {
                let gone = self.paths.swap_remove(index);
                self.notices.push_back(Notice::Removed(gone.path.remote));
            }
        }
        self.paths.push(Known { path, heard: now.mono });
        self.notices.push_back(Notice::Added(path));
    }

    pub(crate) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        loop {
            let reply = self.replies.pop_front()?;
            let credentials = match &self.previous {
                Some(previous) if reply.previous => previous,
                _ => &self.local,
            };
            let message = if reply.conflict {
                StunMessage::binding_role_conflict_reply(reply.transaction)
            } else {
                StunMessage::binding_reply(reply.transaction, plain_address(reply.path.remote))
            };
            let written = message
                .to_bytes(Some(credentials.pwd.as_bytes()), buf, |key, parts| Sha1.sha1_hmac(key, parts));
            // Fails only when the caller's buffer is too short for a hundred bytes.
            if let Ok(len) = written {
                return Some(Transmit { from: reply.path.local, to: reply.path.remote, len });
            }
        }
    }

    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    pub(crate) fn knows(&self, remote: SocketAddr) -> bool {
        self.paths.iter().any(|k| k.path.remote == remote)
    }
}
