//! The client's end: connects to a server, and publishes or plays one stream.
//!
//! RTMP 1.0 section 7.2. Owns: the commands and what their answers mean.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use container::amf::Value;
use container::flv::TagKind;

use crate::chunk::{ChunkWriter, Limits, Message, message_type};
use crate::connection::{self, CHUNK_SIZE, Command, Connection, Error, Media};
use crate::handshake::Role;

/// Transactions, in the order in which they are sent.
const CONNECT: f64 = 1.0;
const RELEASE: f64 = 2.0;
const FC_PUBLISH: f64 = 3.0;
const CREATE: f64 = 4.0;
const START: f64 = 5.0;
const FC_UNPUBLISH: f64 = 6.0;
const DELETE: f64 = 7.0;
/// How much a server may send ahead: a second of a fast stream.
const BUFFER_MILLIS: u32 = 1000;

/// What the connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Publish,
    Play,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Media may be sent, or comes.
    Started,
    Media(Media),
    /// It was refused, or has ended: the code and what it says.
    Ended {
        code: String,
        description: String,
    },
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host and port, as for a socket.
    pub host: String,
    pub port: u16,
    /// Over TLS.
    pub is_tls: bool,
    /// `tcUrl`: all but the stream.
    base: String,
    app: String,
    /// With its parameters.
    stream: String,
}

impl Target {
    /// Reads `rtmp://host[:port]/app/stream?parameters`; all but the last part of the path is the
    /// application.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (is_tls, default_port) = match scheme {
            "rtmp" => (false, 1935),
            "rtmps" => (true, 443),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/')?;
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let (app, name) = path.trim_matches('/').rsplit_once('/')?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, default_port),
        };
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() || app.is_empty() || name.is_empty() {
            return None;
        }
        Some(Self {
            host: host.to_owned(),
            port,
            is_tls,
            base: format!("{scheme}://{authority}/{app}"),
            app: app.to_owned(),
            stream: query.map_or_else(|| name.to_owned(), |query| format!("{name}?{query}")),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Handshake,
    Connecting,
    Creating,
    Starting,
    Started,
    Ended,
}

/// See the module's description.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    purpose: Purpose,
    target: Target,
    step: Step,
    /// The message stream that the server gave.
    stream: u32,
    writer: ChunkWriter,
    events: VecDeque<Event>,
}

impl Client {
    /// Its first bytes are ready to be sent. `random` fills the handshake; nothing in it is a secret.
    pub fn new(target: Target, purpose: Purpose, random: impl FnMut() -> u32) -> Self {
        Self {
            connection: Connection::new(Role::Client, Limits::default(), random),
            purpose,
            target,
            step: Step::Handshake,
            stream: 0,
            writer: ChunkWriter::with_chunk_size(CHUNK_SIZE as usize),
            events: VecDeque::new(),
        }
    }

    /// Takes bytes as they come. After an error the connection is to be closed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.connection.push(bytes)?;
        if self.step == Step::Handshake && self.connection.is_open() {
            self.step = Step::Connecting;
            self.connect();
        }
        while let Some(message) = self.connection.poll()? {
            self.message(message)?;
        }
        Ok(())
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Bytes {
        self.connection.out.split().freeze()
    }

    /// Appends media to what is to be sent.
    pub fn send(&mut self, kind: TagKind, timestamp: u32, body: &[u8]) {
        let chunk_stream = connection::chunk_stream(kind);
        let out = &mut self.connection.out;
        self.writer.write(chunk_stream, kind.number(), self.stream, timestamp, body, out);
    }

    /// Sends a stream's metadata as a publisher does: to be kept, behind `@setDataFrame`.
    pub fn send_metadata(&mut self, metadata: &[u8]) {
        let mut body = BytesMut::new();
        Value::from("@setDataFrame").write(&mut body);
        body.extend_from_slice(metadata);
        self.send(TagKind::Script, 0, &body);
    }

    /// Ends what it publishes or plays; the connection is to be closed when this has been sent.
    pub fn end(&mut self) {
        if !matches!(self.step, Step::Starting | Step::Started) {
            return;
        }
        self.step = Step::Ended;
        if self.purpose == Purpose::Publish {
            let name = Value::from(self.target.stream.as_str());
            self.connection.put_command(0, "FCUnpublish", FC_UNPUBLISH, &[Value::Null, name]);
        }
        let stream = Value::Number(self.stream.into());
        self.connection.put_command(0, "deleteStream", DELETE, &[Value::Null, stream]);
    }

    fn connect(&mut self) {
        self.connection.put_limits();
        let kind = if self.purpose == Purpose::Publish { "nonprivate" } else { "" };
        let four_ccs = ["hvc1", "av01", "vp09", "vp08", "Opus"].map(Value::from).to_vec();
        let object = Value::object([
            ("app", self.target.app.as_str().into()),
            ("type", kind.into()),
            ("flashVer", "FMLE/3.0 (compatible; Millrace)".into()),
            ("tcUrl", self.target.base.as_str().into()),
            ("fpad", false.into()),
            ("capabilities", 239.0.into()),
            ("audioCodecs", 3575.0.into()),
            ("videoCodecs", 252.0.into()),
            ("videoFunction", 1.0.into()),
            ("objectEncoding", 0.0.into()),
            ("fourCcList", Value::Array(four_ccs)),
        ]);
        self.connection.put_command(0, "connect", CONNECT, &[object]);
    }

    fn message(&mut self, message: Message) -> Result<(), Error> {
        if matches!(message.kind, message_type::COMMAND | message_type::COMMAND_AMF3) {
            let command = connection::command(&message)?;
            self.command(&command);
        } else if self.purpose == Purpose::Play {
            // Some servers send media right behind their answer to `play`, or before.
            let mut media = Vec::new();
            connection::media(message, &mut media);
            self.events.extend(media.into_iter().map(Event::Media));
        }
        Ok(())
    }

    fn command(&mut self, command: &Command) {
        match (command.name.as_str(), self.step) {
            ("_result", Step::Connecting) if is(command, CONNECT) => self.create(),
            ("_result", Step::Creating) if is(command, CREATE) => {
                self.stream = command.number(1).map_or(1, |stream| stream as u32);
                self.start();
            }
            // Some servers know neither; what matters comes later.
            ("_error", _) if is(command, RELEASE) || is(command, FC_PUBLISH) => {}
            ("_error", _) => self.ended(command),
            ("onStatus", _) => self.status(command),
            ("close", _) => self.ended(command),
            _ => {}
        }
    }

    fn create(&mut self) {
        self.step = Step::Creating;
        if self.purpose == Purpose::Publish {
            let name = Value::from(self.target.stream.as_str());
            self.connection.put_command(0, "releaseStream", RELEASE, &[Value::Null, name.clone()]);
            self.connection.put_command(0, "FCPublish", FC_PUBLISH, &[Value::Null, name]);
        }
        self.connection.put_command(0, "createStream", CREATE, &[Value::Null]);
    }

    fn start(&mut self) {
        self.step = Step::Starting;
        let name = Value::from(self.target.stream.as_str());
        match self.purpose {
            Purpose::Publish => {
                let arguments = [Value::Null, name, Value::from("live")];
                self.connection.put_command(self.stream, "publish", START, &arguments);
            }
            Purpose::Play => {
                // -2: live, or recorded if there is no such live stream.
                let arguments = [Value::Null, name, Value::Number(-2.0)];
                self.connection.put_command(self.stream, "play", START, &arguments);
                self.connection.put_buffer_length(self.stream, BUFFER_MILLIS);
            }
        }
    }

    fn status(&mut self, command: &Command) {
        let info = command.arguments.get(1);
        let text =
            |name: &str| info.and_then(|info| info.get(name)).and_then(Value::as_str).unwrap_or_default();
        match text("code") {
            "NetStream.Publish.Start" | "NetStream.Play.Start" if self.step == Step::Starting => {
                self.step = Step::Started;
                self.events.push_back(Event::Started);
            }
            "NetStream.Play.UnpublishNotify" | "NetStream.Play.Stop" | "NetStream.Play.Complete" => {
                self.ended(command);
            }
            _ if text("level") == "error" => self.ended(command),
            _ => {}
        }
    }

    fn ended(&mut self, command: &Command) {
        let info = command.arguments.get(1);
        let text = |name: &str| {
            let value = info.and_then(|info| info.get(name)).and_then(Value::as_str).unwrap_or_default();
            value.chars().take(200).collect::<String>()
        };
        self.events.push_back(Event::Ended { code: text("code"), description: text("description") });
    }
}

/// Whether it answers this transaction.
fn is(command: &Command, transaction: f64) -> bool {
    (command.transaction - transaction).abs() < 0.5
}
