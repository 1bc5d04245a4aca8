//! A whole connection of RTMP at the server's end, from its first byte or from behind a handshake.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rtmp::Server;
use rtmp::handshake::{Handshake, Role};
use rtmp::server::{Event, Refusal};

/// More than all answers that may wait.
const ANSWERS: usize = 128 << 10;

fn random() -> impl FnMut() -> u32 {
    let mut state = 1_u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    }
}

fuzz_target!(|data: &[u8]| {
    let [mode, piece, rest @ ..] = data else { return };
    let mut server = Server::new(random());
    if mode & 1 == 1 {
        let mut hello = BytesMut::new();
        let mut handshake = Handshake::client(random(), &mut hello);
        while !handshake.is_done() {
            server.push(&hello.split()).expect("a handshake of ours");
            handshake.push(Role::Client, &server.take_output(), &mut hello).expect("an answer of ours");
        }
        server.push(&hello).expect("the end of a handshake of ours");
    }
    for bytes in rest.chunks(usize::from(*piece).max(1)) {
        if server.push(bytes).is_err() {
            return;
        }
        while let Some(event) = server.poll_event() {
            match event {
                Event::Publish(_) | Event::Play(_) if mode & 2 == 2 => server.refuse(Refusal::Denied, "no"),
                Event::Publish(_) | Event::Play(_) => server.accept(),
                Event::Media(_) | Event::Pause(_) | Event::Stop => {}
            }
        }
        // Some read their answers, and some do not.
        if mode & 4 == 0 {
            assert!(server.take_output().len() < ANSWERS);
        }
    }
    server.end("over");
    assert!(server.take_output().len() < ANSWERS);
});
