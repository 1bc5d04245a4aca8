//! A bare writer: what a live server's writes cost without the server.
//!
//! `bare PORT FILE MERGE_MS` plays a recorded FLV in a loop, at its own pace, to whoever connects and asks over
//! HTTP: one thread, and for each tag (or for the tags of MERGE_MS together) one write to each socket.
//! It prints `listening` when it is ready, and counts nothing, parses nothing and shares nothing.
//!
//!     rustc -O -o bare benches/live/bare.rs

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Buffers of one vectored write.
const SLICES: usize = 64;

struct Tag {
    at: Duration,
    bytes: Vec<u8>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, file, merge] = &arguments[..] else { panic!("bare PORT FILE MERGE_MS") };
    let file = std::fs::read(file).expect("the recording");
    let merge = Duration::from_millis(merge.parse().expect("milliseconds"));
    let (head, tags, length) = read(&file);
    let groups = group(&tags, merge);
    eprintln!("{} tags in {} writes, {:.1} s", tags.len(), groups.len(), length.as_secs_f64());

    let listener = TcpListener::bind(("127.0.0.1", port.parse().expect("a port"))).expect("the port");
    let (sender, arrivals) = mpsc::channel();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            if let Ok(socket) = admit(socket, &head) {
                let _ = sender.send(socket);
            }
        }
    });
    println!("listening");
    play(&groups, length, &arrivals);
}

/// Answers a request; what stands before the first frame.
fn admit(mut socket: TcpStream, head: &[u8]) -> std::io::Result<TcpStream> {
    let mut request = [0; 4096];
    let _ = socket.read(&mut request)?;
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n")?;
    socket.write_all(head)?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The header with metadata and configurations; the frames behind; how long they last.
fn read(file: &[u8]) -> (Vec<u8>, Vec<Tag>, Duration) {
    let (mut head, mut tags) = (file[..13].to_vec(), Vec::new());
    let mut at = 13;
    while at + 15 <= file.len() {
        let length = u32::from_be_bytes([0, file[at + 1], file[at + 2], file[at + 3]]) as usize;
        let Some(bytes) = file.get(at..at + 11 + length + 4) else { break };
        let millis = u32::from_be_bytes([bytes[7], bytes[4], bytes[5], bytes[6]]);
        match (bytes[0], bytes[12]) {
            (18, _) | (_, 0) => head.extend_from_slice(bytes),
            _ => tags.push(Tag { at: Duration::from_millis(millis.into()), bytes: bytes.to_vec() }),
        }
        at += bytes.len();
    }
    // A new player got some seconds at once: those play at their pace here.
    let first = tags.first().expect("a frame").at;
    tags.iter_mut().for_each(|tag| tag.at = tag.at.saturating_sub(first));
    let length = tags.last().expect("a frame").at + Duration::from_millis(20);
    (head, tags, length)
}

/// Tags that are written together, and when: what has come since the last write, `merge` after it at the soonest.
fn group(tags: &[Tag], merge: Duration) -> Vec<(Duration, &[Tag])> {
    let mut groups: Vec<(Duration, &[Tag])> = Vec::new();
    let mut rest = tags;
    while let Some(first) = rest.first() {
        let soonest = groups.last().map_or(Duration::ZERO, |(last, _)| *last + merge);
        let at = first.at.max(soonest);
        // Without merging each tag is a write of its own, also where two have the same time.
        let count = rest.iter().take_while(|tag| tag.at <= at).count();
        let (now, later) = rest.split_at(if merge.is_zero() { 1 } else { count });
        groups.push((at, now));
        rest = later;
    }
    groups
}

fn play(groups: &[(Duration, &[Tag])], length: Duration, arrivals: &mpsc::Receiver<TcpStream>) {
    let mut sockets: Vec<TcpStream> = Vec::new();
    let mut began = Instant::now();
    loop {
        for (at, tags) in groups {
            std::thread::sleep((began + *at).saturating_duration_since(Instant::now()));
            sockets.extend(arrivals.try_iter());
            let slices: Vec<IoSlice<'_>> = tags.iter().map(|tag| IoSlice::new(&tag.bytes)).collect();
            sockets.retain_mut(|socket| slices.chunks(SLICES).all(|slices| write(socket, slices)));
        }
        began += length;
    }
}

/// Whether the player is still there. One that does not take all of it would read nonsense from here on.
fn write(socket: &mut TcpStream, slices: &[IoSlice<'_>]) -> bool {
    let all: usize = slices.iter().map(|slice| slice.len()).sum();
    // send(2) is cheaper than writev(2) where there is one buffer.
    let written = if let [one] = slices { socket.write(one) } else { socket.write_vectored(slices) };
    match written {
        Ok(count) if count == all => true,
        Ok(count) => {
            eprintln!("a player took {count} of {all} bytes, and is dropped");
            false
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            eprintln!("a player takes nothing, and is dropped");
            false
        }
        Err(_) => false,
    }
}
