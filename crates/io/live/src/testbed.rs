//! What the tests of listeners share: a desk with an open application, and frames.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use media::{Frame, Picture, Shape, Ticks, Track, TrackId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use vhost::{App, Directory, Domain, Policy, Protocol, Query};

use crate::{Config, Desk, Publishing, Visit};

/// Longer than anything here takes on a busy machine: it only ends a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn desk(change: impl FnOnce(&mut App)) -> Desk {
    let mut app = App { publish: Policy::Open, ..App::default() };
    change(&mut app);
    let apps = BTreeMap::from([("live".to_owned(), Arc::new(app))]);
    let directory = Directory::new(vec![Domain { name: "d".into(), apps, auto: None }]);
    let desk = Desk::new(Config { directory, ..Config::default() });
    tokio::spawn(desk.clone().run(std::future::pending()));
    desk
}

/// Other limits, as after a reload.
pub(crate) fn limit(desk: &Desk, connections: usize, per_address: usize) {
    let limits = crate::Limits { connections, per_address };
    desk.apply(Config { limits, ..(*desk.config()).clone() });
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) fn visit(desk: &Desk, stream: &str) -> Visit {
    let place = desk.config().directory.stream("h", &format!("live/{stream}")).unwrap();
    Visit { place, query: Query::default(), protocol: Protocol::Rtmp, address: None }
}

pub(crate) async fn publish(desk: &Desk, stream: &str) -> Publishing {
    let publishing = desk.publish(visit(desk, stream)).await.unwrap();
    publishing.set_track(track()).unwrap();
    publishing
}

pub(crate) fn track() -> Track {
    let shape = Shape::Video(Picture { width: 640, height: 360 });
    let config = Bytes::from_static(b"avcC");
    Track { id: TrackId::VIDEO, codec: codec::Kind::H264, config, shape }
}

/// The `n`th picture at 25 a second, a key frame each second; its payload of `len` bytes says which it is.
pub(crate) fn picture(n: i64, len: usize) -> Frame {
    let at = Ticks::from_millis(n * 40);
    let mut payload = vec![0; len.max(8)];
    payload[..8].copy_from_slice(&n.to_be_bytes());
    Frame { track: TrackId::VIDEO, key: n % 25 == 0, dts: at, pts: at, payload: payload.into() }
}

/// Which picture a payload is of.
pub(crate) fn number(frame: &Frame) -> i64 {
    i64::from_be_bytes(frame.payload[..8].try_into().unwrap())
}

/// A player of HLS on one connection.
pub(crate) struct Browser {
    socket: TcpStream,
    bytes: BytesMut,
}

impl Browser {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.unwrap(), bytes: BytesMut::new() }
    }

    /// Status, head and body.
    pub(crate) async fn get(&mut self, target: &str) -> (u16, String, Vec<u8>) {
        self.socket.write_all(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
        let end = loop {
            if let Some(at) = self.bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.bytes.split_to(end).to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        while self.bytes.len() < length {
            self.more().await;
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, self.bytes.split_to(length).to_vec())
    }

    async fn more(&mut self) {
        let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.bytes)).await;
        assert!(read.unwrap().unwrap() > 0, "closed");
    }

    /// A media playlist, or the one that leads to others.
    pub(crate) async fn playlist(&mut self, file: &str) -> String {
        let (status, head, body) = self.get(&format!("/live/demo/{file}")).await;
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("Content-Type: application/vnd.apple.mpegurl\r\n"), "{head}");
        String::from_utf8(body).unwrap()
    }
}
