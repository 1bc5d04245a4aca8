//! The server against the library's client, on a seeded link in virtual time; and what it must not believe.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::super::hello::{Hello, Reassembly};
use super::*;
use crate::Certificate;
use crate::testbed::{certificate, start};

/// Made by `openssl req -x509 -newkey rsa:2048` (3.0); the signature by `openssl dgst -sha256 -sign` over [`SIGNED`].
const RSA_CERTIFICATE: &[u8] = include_bytes!("../../../testdata/rsa-2048.der");
const RSA_SIGNATURE: &[u8] = include_bytes!("../../../testdata/rsa-2048.sig");
const SIGNED: &[u8] = b"what was said until then";
/// The same of `openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-384`, signed with SHA-256 and with SHA-384.
const P384_CERTIFICATE: &[u8] = include_bytes!("../../../testdata/p-384.der");
const P384_SIGNATURES: [&[u8]; 2] = [
    include_bytes!("../../../testdata/p-384-sha256.sig"),
    include_bytes!("../../../testdata/p-384-sha384.sig"),
];

/// What one end has told.
#[derive(Default)]
struct Ear {
    certificate: Vec<u8>,
    connected: bool,
    keys: Vec<u8>,
    data: Vec<Vec<u8>>,
    closed: bool,
}

struct World {
    now: Time,
    rng: SmallRng,
    /// Percent of datagrams that are lost.
    loss: u32,
    client: dimpl::Dtls,
    client_ear: Ear,
    hello: Reassembly,
    server: Option<Server>,
    server_ear: Ear,
    broken: bool,
    to_client: VecDeque<Vec<u8>>,
    to_server: VecDeque<Vec<u8>>,
    ours: Certificate,
}

impl World {
    fn new(seed: u64, loss: u32) -> Self {
        let now = start();
        let theirs = certificate(1);
        let mut client = dimpl::Dtls::new_12(theirs.dtls_config(), theirs.pair(), now.mono);
        client.set_active(true);
        Self {
            now,
            rng: SmallRng::seed_from_u64(seed),
            loss,
            client,
            client_ear: Ear::default(),
            hello: Reassembly::default(),
            server: None,
            server_ear: Ear::default(),
            broken: false,
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
            ours: certificate(0).clone(),
        }
    }

    fn lost(&mut self) -> bool {
        self.rng.random_range(0..100) < self.loss
    }

    fn step(&mut self) {
        self.now = self.now.after(Duration::from_millis(10));
        let _ = self.client.handle_timeout(self.now.mono);
        self.hear_client();
        while let Some(datagram) = self.to_server.pop_front() {
            if !self.lost() {
                self.give_server(&datagram);
            }
        }
        if let Some(server) = self.server.as_mut().filter(|s| s.deadline(self.now) <= self.now.mono) {
            self.broken |= server.handle_timeout(self.now).is_err();
        }
        self.hear_server();
        while let Some(datagram) = self.to_client.pop_front() {
            if !self.lost() {
                let _ = self.client.handle_packet(&datagram);
                self.hear_client();
            }
        }
    }

    fn give_server(&mut self, datagram: &[u8]) {
        match &mut self.server {
            Some(server) => self.broken |= server.handle(self.now, datagram).is_err(),
            None => {
                let Ok(Some(Hello { client, .. })) = self.hello.take(datagram) else { return };
                self.server = Server::new(self.now, &self.ours, &client).ok();
            }
        }
    }

    fn hear_client(&mut self) {
        let mut buf = [0; 4096];
        loop {
            match self.client.poll_output(&mut buf) {
                dimpl::Output::Packet(packet) => self.to_server.push_back(packet.to_vec()),
                dimpl::Output::Connected => self.client_ear.connected = true,
                dimpl::Output::PeerCert(der) => self.client_ear.certificate = der.to_vec(),
                dimpl::Output::KeyingMaterial(keys, _) => self.client_ear.keys = keys.to_vec(),
                dimpl::Output::ApplicationData(data) => self.client_ear.data.push(data.to_vec()),
                dimpl::Output::CloseNotify => self.client_ear.closed = true,
                _ => return,
            }
        }
    }

    fn hear_server(&mut self) {
        while let Some(told) = self.server.as_mut().and_then(Server::poll) {
            match told {
                Told::Packet(packet) => self.to_client.push_back(packet),
                Told::Peer(der) => self.server_ear.certificate = der,
                Told::Connected => self.server_ear.connected = true,
                Told::Keys(_, keys) => self.server_ear.keys = keys.to_vec(),
                Told::Data(data) => self.server_ear.data.push(data),
                Told::Closed => self.server_ear.closed = true,
            }
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn is_connected(&self) -> bool {
        self.client_ear.connected && self.server_ear.connected
    }
}

#[test]
fn a_client_connects_with_the_same_keys_and_data_passes_both_ways() {
    let mut world = World::new(1, 0);
    world.run(20);
    assert!(world.is_connected() && !world.broken);
    assert_eq!(world.client_ear.certificate, certificate(0).pair().certificate);
    assert_eq!(world.server_ear.certificate, certificate(1).pair().certificate);
    assert!(!world.server_ear.keys.is_empty());
    assert_eq!(world.client_ear.keys, world.server_ear.keys);
    for n in 0..200_u32 {
        world.server.as_mut().unwrap().send(&n.to_be_bytes()).unwrap();
        world.client.send_application_data(&n.to_be_bytes()).unwrap();
        world.step();
    }
    world.run(2);
    let all: Vec<Vec<u8>> = (0..200_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    assert_eq!(world.client_ear.data, all);
    assert_eq!(world.server_ear.data, all);
    world.server.as_mut().unwrap().close();
    world.run(2);
    assert!(world.client_ear.closed);
}

#[test]
fn lost_datagrams_are_made_good_in_every_order() {
    for seed in 0..60 {
        let mut world = World::new(seed, 15);
        // As long as either end tries; at this rate nobody's seven attempts are all lost.
        for _ in 0..3000 {
            world.step();
            if world.is_connected() {
                break;
            }
        }
        let (client, server) = (world.client_ear.connected, world.server_ear.connected);
        assert!(client && server, "seed {seed}: client {client}, server {server}, broken {}", world.broken);
        assert_eq!(world.client_ear.keys, world.server_ear.keys);
    }
}

#[test]
fn a_client_that_goes_away_is_given_up() {
    let mut world = World::new(3, 0);
    world.step();
    assert!(world.server.is_some());
    world.loss = 100;
    let begun = world.now;
    while !world.broken {
        world.step();
        assert!(world.now.mono < begun.mono + HANDSHAKE_TIMEOUT + Duration::from_secs(1));
    }
}

#[test]
fn records_are_taken_once_and_only_as_they_were_sealed() {
    let mut world = World::new(4, 0);
    world.run(20);
    world.client.send_application_data(b"once").unwrap();
    world.hear_client();
    let datagram = world.to_server.pop_front().unwrap();
    for at in 0..datagram.len() {
        let mut changed = datagram.clone();
        changed[at] ^= 1;
        world.give_server(&changed);
    }
    for _ in 0..3 {
        world.give_server(&datagram);
    }
    world.hear_server();
    assert_eq!(world.server_ear.data, [b"once"]);
    assert!(!world.broken && !world.server_ear.closed);
}

#[test]
fn no_datagram_makes_it_panic_or_believe() {
    let mut rng = SmallRng::seed_from_u64(5);
    for seed in 0..300 {
        let mut world = World::new(seed, 0);
        for _ in 0..12 {
            world.now = world.now.after(Duration::from_millis(150));
            let _ = world.client.handle_timeout(world.now.mono);
            world.hear_client();
            while let Some(mut datagram) = world.to_server.pop_front() {
                let at = rng.random_range(0..datagram.len());
                match rng.random_range(0..3) {
                    0 => datagram[at] = rng.random(),
                    1 => datagram.truncate(at),
                    _ => rng.fill_bytes(&mut datagram[at..]),
                }
                world.give_server(&datagram);
            }
            world.hear_server();
            while let Some(datagram) = world.to_client.pop_front() {
                let _ = world.client.handle_packet(&datagram);
                world.hear_client();
            }
        }
        // A change may have hit what does not count, such as a record's version.
        if world.server_ear.connected {
            assert_eq!(world.server_ear.certificate, certificate(1).pair().certificate);
        }
    }
}

#[test]
fn a_proof_is_by_the_key_of_the_certificate_over_what_was_said() {
    let body = message::signed(message::RSA_SHA256, RSA_SIGNATURE);
    assert!(proof::is_proof(RSA_CERTIFICATE, SIGNED, &body));
    assert!(!proof::is_proof(RSA_CERTIFICATE, b"something else", &body));
    assert!(!proof::is_proof(&certificate(0).pair().certificate, SIGNED, &body));
    assert!(!proof::is_proof(
        RSA_CERTIFICATE,
        SIGNED,
        &message::signed(message::ECDSA_SHA256, RSA_SIGNATURE)
    ));
    assert!(!proof::is_proof(RSA_CERTIFICATE, SIGNED, &message::signed([2, 1], RSA_SIGNATURE)));
    for end in 0..RSA_CERTIFICATE.len() {
        // The signature of the certificate itself, at its end, is nobody's business.
        let _ = proof::is_proof(&RSA_CERTIFICATE[..end], SIGNED, &body);
    }
    for end in 0..body.len() {
        assert!(!proof::is_proof(RSA_CERTIFICATE, SIGNED, &body[..end]));
    }
    let [sha256, sha384] = P384_SIGNATURES;
    for (algorithm, signature, is_proof) in [
        (message::ECDSA_SHA256, sha256, true),
        (message::ECDSA_SHA384, sha384, true),
        (message::ECDSA_SHA256, sha384, false),
        (message::RSA_SHA256, sha256, false),
        ([6, 3], sha384, false),
    ] {
        let body = message::signed(algorithm, signature);
        assert_eq!(proof::is_proof(P384_CERTIFICATE, SIGNED, &body), is_proof, "{algorithm:?}");
    }
    let own = certificate(0).pair();
    let signed = proof::sign(&own.private_key, SIGNED).unwrap();
    assert!(proof::is_proof(&own.certificate, SIGNED, &signed));
}

#[test]
fn fragments_become_messages_once_and_in_order() {
    let whole = message(CERTIFICATE, 1, &[7; 40]);
    let part = |offset: usize, len: usize| {
        let mut part = whole[..12].to_vec();
        part[8] = u8::try_from(offset).unwrap();
        part[11] = u8::try_from(len).unwrap();
        part.extend_from_slice(&whole[12 + offset..12 + offset + len]);
        part
    };
    let mut assembly = Assembly::new(1);
    assert!(assembly.take(&message(CLIENT_KEY_EXCHANGE, 2, &[1])).unwrap());
    assert!(assembly.take(&part(30, 10)).unwrap() && assembly.take(&part(0, 20)).unwrap());
    assert!(assembly.next().is_none());
    assert!(assembly.take(&part(15, 20)).unwrap());
    assert_eq!(assembly.next(), Some((CERTIFICATE, 1, vec![7; 40])));
    assert_eq!(assembly.next(), Some((CLIENT_KEY_EXCHANGE, 2, vec![1])));
    assert!(!assembly.take(&part(0, 20)).unwrap(), "had before");
    assert!(!assembly.take(&message(FINISHED, 9, &[])).unwrap(), "too far ahead");
    assert!(assembly.take(&[1, 2, 3]).is_err());
    let mut long = message(CERTIFICATE, 3, &[]);
    long[1] = 1;
    assert!(assembly.take(&long).is_err(), "64 KiB");
}
