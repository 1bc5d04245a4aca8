//! Authenticated requests: Allocate, Refresh, CreatePermission, ChannelBind.

use std::time::Duration;

use clock::Time;

use super::{Deed, Flow, RelayId, Request, Server, write_allocated};
use crate::access::Granted;
use crate::allocation::{Allocation, NotAdded};
use crate::message::{Class, Message, Method, Writer, attribute};

/// REQUESTED-TRANSPORT of UDP, RFC 8656 section 18.7.
const UDP: u8 = 17;
/// Channel numbers, RFC 5766 section 11: more than RFC 8656 section 12 has, for clients that are older.
const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;

/// Attributes of requests that are understood; others below 0x8000 make a request fail (RFC 8489 section 6.3.1).
const KNOWN: [u16; 9] = [
    attribute::USERNAME,
    attribute::REALM,
    attribute::NONCE,
    attribute::CHANNEL_NUMBER,
    attribute::LIFETIME,
    attribute::XOR_PEER_ADDRESS,
    attribute::REQUESTED_ADDRESS_FAMILY,
    attribute::EVEN_PORT,
    attribute::REQUESTED_TRANSPORT,
];

/// An error answer: its code and reason (RFC 8489 section 14.8, RFC 8656 section 19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal(u16, &'static str);

const BAD_REQUEST: Refusal = Refusal(400, "Bad Request");
const FORBIDDEN: Refusal = Refusal(403, "Forbidden");
const MISMATCH: Refusal = Refusal(437, "Allocation Mismatch");
const FAMILY: Refusal = Refusal(440, "Address Family not Supported");
const WRONG_CREDENTIALS: Refusal = Refusal(441, "Wrong Credentials");
const TRANSPORT: Refusal = Refusal(442, "Unsupported Transport Protocol");
const PEER_FAMILY: Refusal = Refusal(443, "Peer Address Family Mismatch");
const QUOTA: Refusal = Refusal(486, "Allocation Quota Reached");
const CAPACITY: Refusal = Refusal(508, "Insufficient Capacity");

/// A request that somebody with credentials has made.
struct Asked<'m> {
    message: &'m Message<'m>,
    flow: Flow,
    granted: Granted,
    username: &'m str,
}

impl Server {
    pub(super) fn on_request<'a>(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Deed<'a> {
        let Some((granted, username)) = self.authenticate(now, flow, message, out) else {
            return Deed::Reply;
        };
        let key = granted.key;
        let unknown: Vec<u8> = message
            .attributes()
            .filter(|(kind, _)| *kind < attribute::OPTIONAL && !KNOWN.contains(kind))
            .flat_map(|(kind, _)| kind.to_be_bytes())
            .collect();
        if !unknown.is_empty() {
            self.counters.refused += 1;
            Writer::new(out, message.method, Class::Error, message.transaction())
                .error(420, "Unknown Attribute")
                .attribute(attribute::UNKNOWN_ATTRIBUTES, &unknown)
                .finish(Some(&key), message.has_fingerprint);
            return Deed::Reply;
        }
        let asked = Asked { message, flow, granted, username };
        let result = match message.method {
            Method::Allocate => match self.allocate(now, asked, out) {
                Ok(Some(request)) => return Deed::Allocate(request),
                Ok(None) => return Deed::Reply,
                Err(refusal) => Err(refusal),
            },
            Method::Refresh => self.refresh(now, &asked),
            Method::CreatePermission => self.create_permission(now, &asked).map(|()| None),
            Method::ChannelBind => self.channel_bind(now, &asked).map(|()| None),
            Method::Binding | Method::Send | Method::Data => Err(BAD_REQUEST),
        };
        match result {
            Ok(lifetime) => {
                let mut writer = Writer::new(out, message.method, Class::Success, message.transaction());
                if let Some(lifetime) = lifetime {
                    writer =
                        writer.attribute(attribute::LIFETIME, &(lifetime.as_secs() as u32).to_be_bytes());
                }
                writer.finish(Some(&key), message.has_fingerprint);
            }
            Err(Refusal(code, reason)) => {
                match code {
                    403 => self.counters.forbidden += 1,
                    486 => self.counters.quota += 1,
                    _ => self.counters.refused += 1,
                }
                Writer::new(out, message.method, Class::Error, message.transaction())
                    .error(code, reason)
                    .finish(Some(&key), message.has_fingerprint);
            }
        }
        Deed::Reply
    }

    /// RFC 8489 section 9.2.4. What is to be said to who fails is in `out`.
    fn authenticate<'m>(
        &mut self,
        now: Time,
        flow: Flow,
        message: &Message<'m>,
        out: &mut Vec<u8>,
    ) -> Option<(Granted, &'m str)> {
        let writer = Writer::new(out, message.method, Class::Error, message.transaction());
        let nonce = || self.nonces.issue(now.unix, flow.client.ip());
        let challenge = |writer: Writer<'_>, code, reason| {
            writer
                .error(code, reason)
                .attribute(attribute::REALM, self.config.realm.as_bytes())
                .attribute(attribute::NONCE, nonce().as_bytes())
                .finish(None, message.has_fingerprint);
        };
        if !message.has_integrity() {
            challenge(writer, 401, "Unauthorized");
            self.counters.unauthorized += 1;
            return None;
        }
        let text = |kind| message.text(kind);
        let (Some(username), Some(realm), Some(shown)) =
            (text(attribute::USERNAME), text(attribute::REALM), text(attribute::NONCE))
        else {
            writer.error(BAD_REQUEST.0, BAD_REQUEST.1).finish(None, message.has_fingerprint);
            self.counters.refused += 1;
            return None;
        };
        if !self.nonces.is_fresh(shown, now.unix, flow.client.ip()) {
            challenge(writer, 438, "Stale Nonce");
            self.counters.stale += 1;
            return None;
        }
        let granted = self
            .access
            .grant(username, &self.config.realm)
            .filter(|granted| realm == self.config.realm && message.verify(&granted.key))
            // Who has an allocation may keep it for as long as the call lasts.
            .filter(|granted| now.unix.as_secs() < granted.expires || self.allocations.contains_key(&flow));
        let Some(granted) = granted else {
            challenge(writer, 401, "Unauthorized");
            self.counters.unauthorized += 1;
            return None;
        };
        out.clear();
        Some((granted, username))
    }

    /// RFC 8656 section 7.2. `None`: it is answered already.
    fn allocate(
        &mut self,
        now: Time,
        asked: Asked<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Request>, Refusal> {
        let Asked { message, flow, granted, username } = asked;
        if self.allocations.get(&flow).is_some_and(|known| now.mono >= known.expires) {
            // What has expired is gone, whether or not the clock has told it so already.
            self.remove(flow);
        }
        if let Some(known) = self.allocations.get(&flow) {
            if known.transaction != message.transaction() {
                return Err(MISMATCH);
            }
            write_allocated(known, now.mono, flow, message.has_fingerprint, out);
            return Ok(None);
        }
        match message.attribute(attribute::REQUESTED_TRANSPORT) {
            Some([UDP, _, _, _]) => {}
            Some([_, _, _, _]) => return Err(TRANSPORT),
            _ => return Err(BAD_REQUEST),
        }
        let v6 = self.family(message)?.unwrap_or(!self.config.v4);
        if !if v6 { self.config.v6 } else { self.config.v4 } {
            return Err(FAMILY);
        }
        let even = match message.attribute(attribute::EVEN_PORT) {
            None => false,
            // The next port cannot be reserved.
            Some([flags]) if flags & 0x80 != 0 => return Err(CAPACITY),
            Some([_]) => true,
            Some(_) => return Err(BAD_REQUEST),
        };
        let of_user = self.users.get(&granted.user).copied().unwrap_or(0);
        if of_user >= self.config.per_user || self.allocations.len() >= self.config.allocations {
            return Err(QUOTA);
        }
        self.next = self.next.wrapping_add(1);
        Ok(Some(Request {
            v6,
            even,
            flow,
            relay: RelayId(self.next),
            granted,
            username: username.into(),
            transaction: message.transaction(),
            lifetime: self.lifetime(message),
            fingerprint: message.has_fingerprint,
        }))
    }

    /// RFC 8656 section 8.2: the new lifetime.
    fn refresh(&mut self, now: Time, asked: &Asked<'_>) -> Result<Option<Duration>, Refusal> {
        let lifetime = self.lifetime(asked.message);
        let family = self.family(asked.message)?;
        let allocation = self.allocation(now, asked)?;
        if family.is_some_and(|v6| v6 != allocation.relayed.is_ipv6()) {
            return Err(PEER_FAMILY);
        }
        if asked.message.u32(attribute::LIFETIME) == Some(0) {
            self.remove(asked.flow);
            return Ok(Some(Duration::ZERO));
        }
        allocation.expires = now.mono + lifetime;
        Ok(Some(lifetime))
    }

    /// RFC 8656 section 10.2.
    fn create_permission(&mut self, now: Time, asked: &Asked<'_>) -> Result<(), Refusal> {
        let peers = asked.message.addresses(attribute::XOR_PEER_ADDRESS).filter(|peers| !peers.is_empty());
        let peers = peers.ok_or(BAD_REQUEST)?;
        let forbidden = peers.iter().any(|peer| !self.policy.admits_host(peer.ip()));
        let allocation = self.allocation(now, asked)?;
        if peers.iter().any(|peer| peer.is_ipv6() != allocation.relayed.is_ipv6()) {
            return Err(PEER_FAMILY);
        }
        if forbidden {
            return Err(FORBIDDEN);
        }
        let ips: Vec<_> = peers.iter().map(|peer| peer.ip()).collect();
        allocation.permit(now.mono, &ips).map_err(not_added)
    }

    /// RFC 8656 section 12.2.
    fn channel_bind(&mut self, now: Time, asked: &Asked<'_>) -> Result<(), Refusal> {
        let number = match asked.message.attribute(attribute::CHANNEL_NUMBER) {
            Some(&[n0, n1, _, _]) => u16::from_be_bytes([n0, n1]),
            _ => return Err(BAD_REQUEST),
        };
        let peer = asked.message.address(attribute::XOR_PEER_ADDRESS).ok_or(BAD_REQUEST)?;
        let forbidden = !self.policy.admits(peer);
        let allocation = self.allocation(now, asked)?;
        if !CHANNELS.contains(&number) {
            return Err(BAD_REQUEST);
        }
        if peer.is_ipv6() != allocation.relayed.is_ipv6() {
            return Err(PEER_FAMILY);
        }
        if forbidden {
            return Err(FORBIDDEN);
        }
        allocation.bind(now.mono, number, peer).map_err(not_added)
    }

    /// The allocation that the request is about, if it is the requester's.
    fn allocation(&mut self, now: Time, asked: &Asked<'_>) -> Result<&mut Allocation, Refusal> {
        let allocation = self.allocations.get_mut(&asked.flow).filter(|a| now.mono < a.expires);
        let allocation = allocation.ok_or(MISMATCH)?;
        if allocation.username == asked.username { Ok(allocation) } else { Err(WRONG_CREDENTIALS) }
    }

    /// The lifetime that is asked for, within bounds.
    fn lifetime(&self, message: &Message<'_>) -> Duration {
        let asked = message.u32(attribute::LIFETIME).map(|seconds| Duration::from_secs(seconds.into()));
        asked.unwrap_or(self.config.lifetime).clamp(self.config.lifetime, self.config.lifetime_max)
    }

    /// Whether IPv6 is asked for, if anything is (RFC 8656 section 18.6).
    fn family(&self, message: &Message<'_>) -> Result<Option<bool>, Refusal> {
        match message.attribute(attribute::REQUESTED_ADDRESS_FAMILY) {
            None => Ok(None),
            Some([1, ..]) => Ok(Some(false)),
            Some([2, ..]) => Ok(Some(true)),
            Some(_) => Err(FAMILY),
        }
    }
}

fn not_added(reason: NotAdded) -> Refusal {
    match reason {
        NotAdded::Full => CAPACITY,
        NotAdded::Conflict => BAD_REQUEST,
    }
}
