//! One player: its connection, and what is read of the stream.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use container::flv::{Demuxer, TagKind};
use rtmp::Client;
use rtmp::client::{Event, Purpose};

use super::address::Address;
use super::content::Stamp;
use super::figures::{Figures, Meter, Way};
use super::hls::{Found, Hls};
use super::http::{self, Head, Messages};
use crate::files;

/// For a connection to be taken.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// See the module's description.
pub(crate) struct Player {
    pub(crate) socket: TcpStream,
    pub(crate) way: Way,
    wire: Wire,
    meter: Meter,
    /// What the socket has not taken yet.
    waiting: Vec<u8>,
}

enum Wire {
    Rtmp(Box<Client>),
    Flv(Box<Flv>),
    Hls(Box<Hls>),
}

/// FLV over HTTP, perhaps in messages of a WebSocket.
#[derive(Default)]
struct Flv {
    /// The head of the answer, until it is whole; none behind it.
    head: Option<Vec<u8>>,
    messages: Option<Messages>,
    demuxer: Demuxer,
}

impl Player {
    pub(crate) fn connect(way: Way, stream: usize, address: &Address) -> anyhow::Result<Self> {
        let began = Instant::now();
        let to = if way == Way::Rtmp { address.rtmp } else { address.http };
        let option = if way == Way::Rtmp { "--url" } else { "--http" };
        let socket = TcpStream::connect_timeout(&to, CONNECT_LIMIT)
            .map_err(|error| files::unanswered(error, option, to, address.files))?;
        socket.set_nonblocking(true).and_then(|()| socket.set_nodelay(true)).context("a socket")?;
        net::stamp_arrivals(&socket).context("a socket")?;
        let mut waiting = Vec::new();
        let wire = match way {
            Way::Rtmp => {
                let target = address.target(stream)?;
                Wire::Rtmp(Box::new(Client::new(target, Purpose::Play, super::noise())))
            }
            Way::Flv | Way::WsFlv => {
                let path = address.path(stream, ".flv");
                let is_plain = way == Way::Flv;
                let request = if is_plain { http::endless } else { http::upgrade };
                waiting = request(&path, &address.authority).into_bytes();
                let messages = (!is_plain).then(Messages::default);
                Wire::Flv(Box::new(Flv { head: Some(Vec::new()), messages, demuxer: Demuxer::default() }))
            }
            Way::Hls | Way::LlHls => {
                let path = address.path(stream, "/index.m3u8");
                let authority = address.authority.clone();
                Wire::Hls(Box::new(Hls::new(path, authority, way == Way::LlHls, began)))
            }
        };
        Ok(Self { socket, way, wire, meter: Meter::new(began), waiting })
    }

    /// Reads what has come; an error is its end.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], figures: &mut Figures) -> Result<(), String> {
        loop {
            let (count, at) = match net::receive_stamped(&self.socket, buffer) {
                Ok((0, _)) => return Err("the server closed the connection".into()),
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("a player's connection: {error}")),
            };
            figures.bytes += count as u64;
            let bytes = buffer.get(..count).unwrap_or_default();
            let at = at.unwrap_or_else(super::unix);
            match &mut self.wire {
                Wire::Rtmp(client) => rtmp(client, bytes, at, &mut self.meter, figures)?,
                Wire::Flv(flv) => flv.push(bytes, at, &mut self.meter, figures)?,
                Wire::Hls(hls) => {
                    let meter = &mut self.meter;
                    hls.push(Instant::now(), bytes, &mut |found| match found {
                        Found::Playlist => meter.joined(figures),
                        Found::Picture(stamp) => meter.picture(at, stamp, None, figures),
                        Found::Sound => meter.sound(figures),
                        Found::Gap => figures.gaps += 1,
                    })?;
                }
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Says what is to be said now.
    pub(crate) fn flush(&mut self, now: Instant) -> Result<(), String> {
        match &mut self.wire {
            Wire::Rtmp(client) => self.waiting.extend_from_slice(&client.take_output()),
            Wire::Flv(_) => {}
            Wire::Hls(hls) => {
                if let Some(request) = hls.poll_request(now) {
                    self.waiting.extend_from_slice(request.as_bytes());
                }
            }
        }
        while !self.waiting.is_empty() {
            match self.socket.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("a player's connection: {error}")),
            }
        }
        Ok(())
    }

    /// Whether the server has let it in.
    pub(crate) fn has_joined(&self) -> bool {
        self.meter.has_joined()
    }

    pub(crate) fn left(&self, figures: &mut Figures) {
        self.meter.left(figures);
    }
}

fn rtmp(
    client: &mut Client,
    bytes: &[u8],
    at: Duration,
    meter: &mut Meter,
    figures: &mut Figures,
) -> Result<(), String> {
    client.push(bytes).map_err(|error| format!("rtmp: {error}"))?;
    while let Some(event) = client.poll_event() {
        match event {
            Event::Started => meter.joined(figures),
            Event::Media(media) => tag(media.kind, media.timestamp, &media.body, at, meter, figures),
            Event::Ended { code, description } => {
                return Err(format!("playing was refused or ended: {code} {description}"));
            }
        }
    }
    Ok(())
}

impl Flv {
    fn push(
        &mut self,
        bytes: &[u8],
        at: Duration,
        meter: &mut Meter,
        figures: &mut Figures,
    ) -> Result<(), String> {
        let Some(mut head) = self.head.take() else { return self.body(bytes, at, meter, figures) };
        head.extend_from_slice(bytes);
        let Some(answer) = Head::read(&head)? else {
            self.head = Some(head);
            return Ok(());
        };
        let wanted = if self.messages.is_some() { 101 } else { 200 };
        if answer.status != wanted {
            return Err(format!("flv was answered with {}", answer.status));
        }
        meter.joined(figures);
        self.body(head.get(answer.len..).unwrap_or_default(), at, meter, figures)
    }

    fn body(
        &mut self,
        bytes: &[u8],
        at: Duration,
        meter: &mut Meter,
        figures: &mut Figures,
    ) -> Result<(), String> {
        match &mut self.messages {
            None => self.demuxer.push(bytes),
            Some(messages) => messages.push(bytes, |payload| self.demuxer.push(payload))?,
        }
        while let Some((header, body)) = self.demuxer.poll().map_err(|error| error.to_string())? {
            tag(header.kind, header.timestamp, &body, at, meter, figures);
        }
        Ok(())
    }
}

fn tag(kind: TagKind, timestamp: u32, body: &[u8], at: Duration, meter: &mut Meter, figures: &mut Figures) {
    // Configurations are no frames: type 0 behind the first byte, in the classic form and the enhanced.
    let is_config = match body {
        [first, ..] if kind == TagKind::Video && first & 0x80 != 0 => first & 0x0f == 0,
        [first, ..] if kind == TagKind::Audio && first >> 4 == 9 => first & 0x0f == 0,
        [first, second, ..] => *second == 0 && (kind == TagKind::Video || first >> 4 == 10),
        _ => true,
    };
    match kind {
        TagKind::Video if !is_config => meter.picture(at, Stamp::find(body), Some(timestamp), figures),
        TagKind::Audio if !is_config => meter.sound(figures),
        _ => {}
    }
}
