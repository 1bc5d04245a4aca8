//! What both ends of a connection do: handshake, chunks, acknowledgements, pings.
//!
//! RTMP 1.0 sections 5.2 to 5.4 and 7.1.7. Owns: bytes to messages and back. What a command means is the
//! server's and the client's affair.

use bytes::{BufMut, Bytes, BytesMut};
use container::amf::{self, Value};
use container::flv::TagKind;

use crate::chunk::{ChunkError, ChunkReader, ChunkWriter, Limits, Message, message_type};
use crate::handshake::{Handshake, HandshakeError, Role};

/// Bytes between two acknowledgements, both ways.
pub(crate) const WINDOW: u32 = 2_500_000;
/// Payload bytes of our chunks: one for nearly every frame.
pub const CHUNK_SIZE: u32 = 65_536;
/// The chunk stream of commands.
const COMMANDS: u8 = 3;
/// The chunk stream of what is about the connection itself, section 5.4.
const CONTROL: u8 = 2;
/// "Dynamic" in Set Peer Bandwidth, section 5.4.5.
const DYNAMIC: u8 = 2;

/// User control events, section 7.1.7.
mod event {
    pub(super) const STREAM_BEGIN: u16 = 0;
    pub(super) const STREAM_EOF: u16 = 1;
    pub(super) const BUFFER_LENGTH: u16 = 3;
    pub(super) const PING: u16 = 6;
    pub(super) const PONG: u16 = 7;
}

/// The connection is lost, and whose fault that is: always the other end's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error(transparent)]
    Amf(#[from] amf::Malformed),
    #[error("a command has no name")]
    NoName,
    #[error("{0} before connect")]
    NotConnected(&'static str),
    #[error("more than {0} commands without a stream")]
    TooManyCommands(u32),
    #[error("commands ask for more than {0} bytes of answers")]
    TooManyAnswers(usize),
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    role: Role,
    handshake: Option<Handshake>,
    reader: ChunkReader,
    writer: ChunkWriter,
    /// Bytes received, and how many of them were acknowledged, modulo 2^32.
    received: u32,
    acknowledged: u32,
    /// What the other end wants acknowledged; nothing until it says so.
    window: Option<u32>,
    pub(crate) out: BytesMut,
}

/// A command as it was sent.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) transaction: f64,
    /// The command object and what follows it.
    pub(crate) arguments: Vec<Value>,
    pub(crate) stream: u32,
}

impl Command {
    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        self.arguments.get(at).and_then(Value::as_str)
    }

    pub(crate) fn number(&self, at: usize) -> Option<f64> {
        self.arguments.get(at).and_then(Value::as_number)
    }

    /// A property of the command object.
    pub(crate) fn property(&self, name: &str) -> Option<&Value> {
        self.arguments.first().and_then(|object| object.get(name))
    }
}

impl Connection {
    pub(crate) fn new(role: Role, limits: Limits, random: impl FnMut() -> u32) -> Self {
        let mut out = BytesMut::new();
        let handshake = match role {
            Role::Server => Handshake::server(random),
            Role::Client => Handshake::client(random, &mut out),
        };
        Self {
            role,
            handshake: Some(handshake),
            reader: ChunkReader::new(limits),
            writer: ChunkWriter::default(),
            received: 0,
            acknowledged: 0,
            window: None,
            out,
        }
    }

    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.reader.set_limits(limits);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.handshake.is_none()
    }

    /// Takes bytes as they come.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.received = self.received.wrapping_add(bytes.len() as u32);
        match &mut self.handshake {
            None => self.reader.push(bytes),
            Some(handshake) => {
                handshake.push(self.role, bytes, &mut self.out)?;
                if handshake.is_done() {
                    let rest = handshake.take_rest();
                    self.handshake = None;
                    self.reader.push(&rest);
                }
            }
        }
        if let Some(window) = self.window
            && self.received.wrapping_sub(self.acknowledged) >= window
        {
            self.acknowledged = self.received;
            self.control(message_type::ACKNOWLEDGEMENT, &self.received.to_be_bytes());
        }
        Ok(())
    }

    /// The next message that is not about the connection itself.
    pub(crate) fn poll(&mut self) -> Result<Option<Message>, Error> {
        if !self.is_open() {
            return Ok(None);
        }
        while let Some(message) = self.reader.poll()? {
            match message.kind {
                message_type::WINDOW_ACK_SIZE => {
                    self.window = read_u32(&message.payload).filter(|window| *window > 0);
                }
                message_type::USER_CONTROL => self.user_control(&message.payload),
                message_type::SET_CHUNK_SIZE
                | message_type::ABORT
                | message_type::ACKNOWLEDGEMENT
                | message_type::SET_PEER_BANDWIDTH => {}
                _ => return Ok(Some(message)),
            }
        }
        Ok(None)
    }

    fn user_control(&mut self, payload: &[u8]) {
        if let Some((kind, data)) = payload.split_first_chunk::<2>()
            && u16::from_be_bytes(*kind) == event::PING
        {
            self.event(event::PONG, data.get(..4).unwrap_or(data));
        }
    }

    /// Tells window, bandwidth and chunk size.
    pub(crate) fn put_limits(&mut self) {
        self.control(message_type::WINDOW_ACK_SIZE, &WINDOW.to_be_bytes());
        if self.role == Role::Server {
            let [a, b, c, d] = WINDOW.to_be_bytes();
            self.control(message_type::SET_PEER_BANDWIDTH, &[a, b, c, d, DYNAMIC]);
        }
        self.writer.set_chunk_size(CHUNK_SIZE, &mut self.out);
    }

    pub(crate) fn put_stream_begin(&mut self, stream: u32) {
        self.event(event::STREAM_BEGIN, &stream.to_be_bytes());
    }

    pub(crate) fn put_stream_eof(&mut self, stream: u32) {
        self.event(event::STREAM_EOF, &stream.to_be_bytes());
    }

    /// How much a player wants to have ahead.
    pub(crate) fn put_buffer_length(&mut self, stream: u32, millis: u32) {
        let [a, b, c, d] = stream.to_be_bytes();
        let [e, f, g, h] = millis.to_be_bytes();
        self.event(event::BUFFER_LENGTH, &[a, b, c, d, e, f, g, h]);
    }

    fn event(&mut self, kind: u16, data: &[u8]) {
        let mut payload = BytesMut::new();
        payload.put_u16(kind);
        payload.put_slice(data);
        self.control(message_type::USER_CONTROL, &payload);
    }

    fn control(&mut self, kind: u8, payload: &[u8]) {
        self.writer.write(CONTROL, kind, 0, 0, payload, &mut self.out);
    }

    pub(crate) fn put_command(&mut self, stream: u32, name: &str, transaction: f64, arguments: &[Value]) {
        let mut payload = BytesMut::new();
        Value::from(name).write(&mut payload);
        Value::Number(transaction).write(&mut payload);
        for argument in arguments {
            argument.write(&mut payload);
        }
        self.writer.write(COMMANDS, message_type::COMMAND, stream, 0, &payload, &mut self.out);
    }

    pub(crate) fn put_data(&mut self, stream: u32, values: &[Value]) {
        let mut payload = BytesMut::new();
        for value in values {
            value.write(&mut payload);
        }
        self.writer.write(COMMANDS, message_type::DATA, stream, 0, &payload, &mut self.out);
    }
}

/// Reads a command; in AMF3 messages it stands behind a zero, in AMF0 all the same.
pub(crate) fn command(message: &Message) -> Result<Command, Error> {
    let payload = match message.kind {
        message_type::COMMAND_AMF3 => message.payload.get(1..).unwrap_or_default(),
        _ => &message.payload[..],
    };
    let mut values = amf::read_all(payload)?.into_iter();
    let Some(Value::String(name)) = values.next() else { return Err(Error::NoName) };
    let transaction = values.next().and_then(|value| value.as_number()).unwrap_or(0.0);
    Ok(Command { name, transaction, arguments: values.collect(), stream: message.stream })
}

/// What a message of audio, video or data brings; an aggregate brings several, section 7.1.6.
pub(crate) fn media(message: Message, out: &mut impl Extend<Media>) {
    let Message { timestamp, kind, payload, .. } = message;
    let one = |kind| Media { kind, timestamp, body: payload.clone() };
    match kind {
        message_type::AUDIO => out.extend([one(TagKind::Audio)]),
        message_type::VIDEO => out.extend([one(TagKind::Video)]),
        message_type::DATA => out.extend([one(TagKind::Script)]),
        message_type::DATA_AMF3 if !payload.is_empty() => {
            out.extend([Media { kind: TagKind::Script, timestamp, body: payload.slice(1..) }]);
        }
        message_type::AGGREGATE => {
            let mut first = None;
            let mut at = 0;
            while let Some((tag, next)) = sub_message(&payload, at) {
                let base = *first.get_or_insert(tag.timestamp);
                // Its times are its own; only their distances count.
                let timestamp = timestamp.wrapping_add(tag.timestamp.wrapping_sub(base));
                out.extend([Media { timestamp, ..tag }]);
                at = next;
            }
        }
        _ => {}
    }
}

/// One FLV tag inside an aggregate, and where the next begins; none at the end, or where the length lies.
fn sub_message(payload: &Bytes, at: usize) -> Option<(Media, usize)> {
    const HEADER: usize = 11;
    const BACK_POINTER: usize = 4;
    let header = payload.get(at..at + HEADER)?;
    let [kind, l0, l1, l2, t0, t1, t2, t3, ..] = header else { return None };
    let len = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
    let (begin, end) = (at + HEADER, at + HEADER + len);
    payload.get(begin..end)?;
    let kind = TagKind::from_number(*kind)?;
    let timestamp = u32::from_be_bytes([*t3, *t0, *t1, *t2]);
    Some((Media { kind, timestamp, body: payload.slice(begin..end) }, end + BACK_POINTER))
}

/// A message of a stream: the body of an FLV tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    pub kind: TagKind,
    /// Milliseconds modulo 2^32.
    pub timestamp: u32,
    pub body: Bytes,
}

/// The chunk stream of media: apart from each other and from commands, as encoders have them.
pub(crate) fn chunk_stream(kind: TagKind) -> u8 {
    match kind {
        TagKind::Audio => 4,
        TagKind::Video => 6,
        TagKind::Script => 5,
    }
}

fn read_u32(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
