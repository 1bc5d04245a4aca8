//! A DTLS 1.2 server for clients whose certificate may be of RSA, which the library does not take.
//!
//! Owns: one handshake (RFC 6347) with the suite ECDHE-ECDSA-AES128-GCM-SHA256 (RFC 5289), the extended master secret
//! (RFC 7627), a certificate asked of the client and the proof that it has its key, the export for SRTP (RFC 5705,
//! RFC 5764), and records afterwards. There is nothing to negotiate down to, nothing is resumed or renegotiated, and
//! there is no client. Who gets it is decided in `hello`; whether the certificate is the right one, outside.

mod keys;
mod message;
mod proof;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clock::Time;

use super::hello::Client;
use super::session::Broken;
use crate::Certificate;
use crate::certificate::{FLIGHT_RETRIES, FLIGHT_RTO, HANDSHAKE_TIMEOUT, MTU};
use keys::{Exchange, Keys, RANDOM, VERIFY_DATA};
use message::{
    ALERT, APPLICATION_DATA, Assembly, CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY,
    CHANGE_CIPHER_SPEC, CLIENT_HELLO, CLIENT_KEY_EXCHANGE, FINISHED, HANDSHAKE, Record, SERVER_HELLO,
    SERVER_HELLO_DONE, SERVER_KEY_EXCHANGE, message, record,
};

/// A flight that is asked for again leaves no sooner than this after the last time: who repeats itself must not be
/// able to make us do the same.
const REPEAT_FLOOR: Duration = Duration::from_millis(100);
/// Of a sealed `Finished`, bytes: 24 of it, 24 around it.
const EARLY_MAX: usize = 64;
/// RFC 5246 section 7.2.
const CLOSE_NOTIFY: u8 = 0;
const FATAL: u8 = 2;
const HANDSHAKE_FAILURE: u8 = 40;

/// What the server tells, in order.
pub(super) enum Told {
    Packet(Vec<u8>),
    /// The client's certificate, in DER. It has proved to have its key.
    Peer(Vec<u8>),
    Connected,
    Keys(srtp::Profile, dimpl::KeyingMaterial),
    Data(Vec<u8>),
    Closed,
}

/// Where the handshake stands: what comes next of the client.
enum Step {
    Certificate,
    KeyExchange { certificate: Vec<u8> },
    Proof { certificate: Vec<u8> },
    Finished { certificate: Vec<u8> },
    Done,
}

pub(super) struct Server {
    step: Step,
    exchange: Option<Exchange>,
    /// Once the client has sent its share.
    keys: Option<Keys>,
    randoms: Randoms,
    profile: Option<srtp::Profile>,
    /// All messages of the handshake as they would be without fragments, RFC 6347 section 4.2.6.
    transcript: Vec<u8>,
    assembly: Assembly,
    /// A sealed message that came before there were keys: its number and body.
    early: Option<([u8; 8], Vec<u8>)>,
    /// Our last flight. Each time it is sent its records have other numbers.
    flight: Vec<Part>,
    /// Of our records in the clear.
    sequence: u64,
    /// When the flight is repeated, and how long after that.
    repeat: Option<(Instant, Duration)>,
    repeated: usize,
    sent_at: Instant,
    begun: Instant,
    told: VecDeque<Told>,
}

/// One record of a flight, to be made.
struct Part {
    kind: u8,
    body: Vec<u8>,
    sealed: bool,
}

struct Randoms {
    client: [u8; RANDOM],
    server: [u8; RANDOM],
}

impl Server {
    /// Answers a hello that [`super::hello::Offer`] found fit.
    pub(super) fn new(now: Time, certificate: &Certificate, client: &Client) -> Result<Self, Broken> {
        let pair = certificate.pair();
        let exchange = Exchange::new().ok_or(Broken)?;
        let randoms = Randoms { client: client.random, server: keys::random().ok_or(Broken)? };
        let mut server = Self {
            step: Step::Certificate,
            exchange: None,
            keys: None,
            profile: client.profile,
            transcript: message(CLIENT_HELLO, 0, &client.body),
            assembly: Assembly::new(1),
            early: None,
            flight: Vec::new(),
            sequence: 0,
            repeat: None,
            repeated: 0,
            sent_at: now.mono,
            begun: now.mono,
            told: VecDeque::new(),
            randoms,
        };
        let share = message::server_key_exchange(exchange.share());
        let signed = [&server.randoms.client[..], &server.randoms.server, &share].concat();
        let signature = proof::sign(&pair.private_key, &signed).ok_or(Broken)?;
        let flight = [
            (SERVER_HELLO, message::server_hello(&server.randoms.server, client)),
            (CERTIFICATE, message::certificate(&pair.certificate)),
            (SERVER_KEY_EXCHANGE, [share, signature].concat()),
            (CERTIFICATE_REQUEST, message::certificate_request()),
            (SERVER_HELLO_DONE, Vec::new()),
        ];
        for (sequence, (kind, body)) in (0..).zip(&flight) {
            let message = message(*kind, sequence, body);
            server.transcript.extend_from_slice(&message);
            server.flight.push(Part { kind: HANDSHAKE, body: message, sealed: false });
        }
        server.exchange = Some(exchange);
        server.send_flight(now);
        server.repeat = Some((now.mono + FLIGHT_RTO, FLIGHT_RTO));
        Ok(server)
    }

    pub(super) fn handle(&mut self, now: Time, datagram: &[u8]) -> Result<(), Broken> {
        let mut rest = datagram;
        while let Some((found, tail)) = Record::split(rest) {
            rest = tail;
            match found.epoch {
                0 => self.in_the_clear(now, &found)?,
                1 if self.keys.is_none() => self.keep_early(&found),
                1 => self.sealed(now, &found)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The client's last message may overtake those before it, and is short.
    fn keep_early(&mut self, found: &Record<'_>) {
        if found.kind == HANDSHAKE && found.body.len() <= EARLY_MAX {
            self.early = Some((found.number, found.body.to_vec()));
        }
    }

    fn in_the_clear(&mut self, now: Time, found: &Record<'_>) -> Result<(), Broken> {
        if let Step::Done = self.step {
            // Its first messages again: our last flight is missing there.
            if found.kind == HANDSHAKE {
                self.repeat_flight(now);
            }
            return Ok(());
        }
        match found.kind {
            HANDSHAKE => {
                // What is malformed may be anybody's: it is passed over, and the client repeats its flight.
                if !self.assembly.take(found.body).unwrap_or(true) {
                    self.repeat_flight(now);
                }
                // What must come sealed is not taken from here.
                while !matches!(self.step, Step::Finished { .. }) {
                    let Some((kind, sequence, body)) = self.assembly.next() else { break };
                    self.message(kind, sequence, &body)?;
                }
                match self.early.take_if(|_| matches!(self.step, Step::Finished { .. })) {
                    Some((number, body)) => {
                        self.sealed(now, &Record { kind: HANDSHAKE, epoch: 1, number, body: &body })
                    }
                    None => Ok(()),
                }
            }
            ALERT if found.body.first() == Some(&FATAL) => Err(Broken),
            // The epoch says the same as a change of cipher does.
            _ => Ok(()),
        }
    }

    fn sealed(&mut self, now: Time, found: &Record<'_>) -> Result<(), Broken> {
        let Some(opened) = self.keys.as_mut().and_then(|keys| keys.open(found)) else { return Ok(()) };
        match (found.kind, &self.step) {
            (HANDSHAKE, Step::Finished { .. }) => {
                let mut sealed = Assembly::new(self.assembly.expected());
                sealed.take(&opened).map_err(|_| Broken)?;
                match sealed.next() {
                    Some((kind, sequence, body)) => self.finish(now, kind, sequence, &body),
                    None => Ok(()),
                }
            }
            // The last message again. A wish to renegotiate is passed over too.
            (HANDSHAKE, Step::Done) => {
                if message::kind_of(&opened) == Some(FINISHED) {
                    self.repeat_flight(now);
                }
                Ok(())
            }
            (APPLICATION_DATA, Step::Done) => {
                self.told.push_back(Told::Data(opened));
                Ok(())
            }
            (ALERT, _) => match opened.as_slice() {
                [_, CLOSE_NOTIFY] => {
                    self.told.push_back(Told::Closed);
                    Ok(())
                }
                [FATAL, _] => Err(Broken),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// A whole message of the client's, in its turn.
    fn message(&mut self, kind: u8, sequence: u16, body: &[u8]) -> Result<(), Broken> {
        let step = std::mem::replace(&mut self.step, Step::Certificate);
        self.step = match (step, kind) {
            (Step::Certificate, CERTIFICATE) => {
                let Some(certificate) = message::first_certificate(body) else { return self.refuse() };
                self.remember(kind, sequence, body);
                Step::KeyExchange { certificate: certificate.to_vec() }
            }
            (Step::KeyExchange { certificate }, CLIENT_KEY_EXCHANGE) => {
                self.remember(kind, sequence, body);
                let theirs = message::client_share(body).ok_or(Broken)?;
                let exchange = self.exchange.take().ok_or(Broken)?;
                let (client, server) = (&self.randoms.client, &self.randoms.server);
                let keys = Keys::derive(exchange, theirs, &self.transcript, client, server);
                self.keys = Some(keys.ok_or(Broken)?);
                Step::Proof { certificate }
            }
            (Step::Proof { certificate }, CERTIFICATE_VERIFY) => {
                if !proof::is_proof(&certificate, &self.transcript, body) {
                    return self.refuse();
                }
                self.remember(kind, sequence, body);
                Step::Finished { certificate }
            }
            _ => return self.refuse(),
        };
        Ok(())
    }

    fn finish(&mut self, now: Time, kind: u8, sequence: u16, body: &[u8]) -> Result<(), Broken> {
        let Step::Finished { certificate } = std::mem::replace(&mut self.step, Step::Certificate) else {
            return Err(Broken);
        };
        let keys = self.keys.as_ref().ok_or(Broken)?;
        if kind != FINISHED || !keys.is_finished(&self.transcript, body) {
            return Err(Broken);
        }
        self.remember(kind, sequence, body);
        let keys = self.keys.as_ref().ok_or(Broken)?;
        let verify: [u8; VERIFY_DATA] = keys.finished(&self.transcript).ok_or(Broken)?;
        // Our sixth message: after the five of the flight before.
        let finished = message(FINISHED, 5, &verify);
        self.flight = vec![
            Part { kind: CHANGE_CIPHER_SPEC, body: vec![1], sealed: false },
            Part { kind: HANDSHAKE, body: finished, sealed: true },
        ];
        self.send_flight(now);
        // It is repeated when it is asked for: nothing answers it.
        self.repeat = None;
        self.step = Step::Done;
        self.transcript = Vec::new();
        self.told.push_back(Told::Peer(certificate));
        self.told.push_back(Told::Connected);
        if let (Some(profile), Some(keys)) = (self.profile, &self.keys) {
            let (client, server) = (&self.randoms.client, &self.randoms.server);
            let material = keys.export(client, server, profile.keying_material_len()).ok_or(Broken)?;
            self.told.push_back(Told::Keys(profile, dimpl::KeyingMaterial::new(&material)));
        }
        Ok(())
    }

    pub(super) fn handle_timeout(&mut self, now: Time) -> Result<(), Broken> {
        if matches!(self.step, Step::Done) {
            return Ok(());
        }
        if now.mono >= self.begun + HANDSHAKE_TIMEOUT {
            return Err(Broken);
        }
        if let Some((_, after)) = self.repeat.filter(|(at, _)| *at <= now.mono) {
            if self.repeated >= FLIGHT_RETRIES {
                return Err(Broken);
            }
            self.repeated += 1;
            self.send_flight(now);
            self.repeat = Some((now.mono + after * 2, after * 2));
        }
        Ok(())
    }

    /// When there is something to do. There is always a time, as the library has it.
    pub(super) fn deadline(&self, now: Time) -> Instant {
        let end = self.begun + HANDSHAKE_TIMEOUT;
        match (&self.step, self.repeat) {
            (Step::Done, _) => now.mono + HANDSHAKE_TIMEOUT,
            (_, Some((at, _))) => at.min(end),
            (_, None) => end,
        }
    }

    pub(super) fn send(&mut self, data: &[u8]) -> Result<(), Broken> {
        let keys = self.keys.as_mut().filter(|_| matches!(self.step, Step::Done)).ok_or(Broken)?;
        let sealed = keys.seal(APPLICATION_DATA, data).ok_or(Broken)?;
        self.told.push_back(Told::Packet(sealed));
        Ok(())
    }

    pub(super) fn close(&mut self) {
        let keys = self.keys.as_mut().filter(|_| matches!(self.step, Step::Done));
        if let Some(sealed) = keys.and_then(|keys| keys.seal(ALERT, &[1, CLOSE_NOTIFY])) {
            self.told.push_back(Told::Packet(sealed));
        }
    }

    pub(super) fn poll(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Puts back what there was no room for.
    pub(super) fn put_back(&mut self, told: Told) {
        self.told.push_front(told);
    }

    fn remember(&mut self, kind: u8, sequence: u16, body: &[u8]) {
        self.transcript.extend_from_slice(&message(kind, sequence, body));
    }

    fn send_flight(&mut self, now: Time) {
        self.sent_at = now.mono;
        let mut datagram: Vec<u8> = Vec::new();
        for part in &self.flight {
            let record = if part.sealed {
                let sealed = self.keys.as_mut().and_then(|keys| keys.seal(part.kind, &part.body));
                let Some(sealed) = sealed else { continue };
                sealed
            } else {
                self.sequence += 1;
                record(part.kind, self.sequence - 1, &part.body)
            };
            if !datagram.is_empty() && datagram.len() + record.len() > MTU {
                self.told.push_back(Told::Packet(std::mem::take(&mut datagram)));
            }
            datagram.extend_from_slice(&record);
        }
        self.told.push_back(Told::Packet(datagram));
    }

    fn repeat_flight(&mut self, now: Time) {
        if now.mono >= self.sent_at + REPEAT_FLOOR {
            self.send_flight(now);
        }
    }

    /// Says that there is no agreement, and ends.
    fn refuse(&mut self) -> Result<(), Broken> {
        let alert = record(ALERT, self.sequence, &[FATAL, HANDSHAKE_FAILURE]);
        self.told.push_back(Told::Packet(alert));
        Err(Broken)
    }
}
