//! The server's end: somebody connects, and publishes or plays one stream.
//!
//! RTMP 1.0 section 7.2, and the connect answer of Enhanced RTMP v2. Owns: the commands and their answers.
//! Knows nothing of streams that exist: it asks ([`Event`]) and is told.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use container::amf::Value;
use container::flv::TagKind;

use crate::chunk::{ChunkWriter, Limits, Message, message_type};
use crate::connection::{self, Command, Connection, Error, Media};
use crate::handshake::Role;

/// The only message stream of a connection: what is written for one player fits all.
pub const STREAM: u32 = 1;
/// Before somebody was let in, commands are all that comes.
const COMMAND_LIMITS: Limits = Limits { message: 16 << 10, streams: 16, pending: 32 << 10 };
/// Commands without publishing or playing; encoders need five.
const MAX_IDLE_COMMANDS: u32 = 100;
/// Bytes of answers that wait to be taken: ten times what an encoder ever asks for at once. Each repeats the
/// stream's name, so that a few bytes of questions would make thousands.
const MAX_ANSWERS: usize = 64 << 10;
/// Bytes of an address.
const MAX_ADDRESS: usize = 4096;

/// Codecs beyond classic RTMP, by FourCC.
const FOUR_CCS: [&str; 6] = ["hvc1", "av01", "vp09", "vp08", "Opus", "mp4a"];
/// `capsEx`: multitrack and ModEx are read.
const CAPS_EX: f64 = 6.0;

/// What the client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// To publish; answer with [`Server::accept`] or [`Server::refuse`].
    Publish(Address),
    /// To play; answer with [`Server::accept`] or [`Server::refuse`].
    Play(Address),
    /// What it publishes.
    Media(Media),
    /// To have nothing sent for a while, or again.
    Pause(bool),
    /// To end what it publishes or plays. The connection stays.
    Stop,
}

/// Where a stream is, as the client wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Of `tcUrl`, with its port.
    pub host: String,
    /// `[domain/]app/stream`, without parameters.
    pub path: String,
    /// The parameters: the stream's, else the application's.
    pub query: String,
}

/// Why somebody is not let in, in RTMP's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such stream.
    NotFound,
    /// It may not.
    Denied,
    /// Somebody else publishes it.
    Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Neither publishes nor plays.
    Idle,
    /// It has asked, and waits.
    Asking(What),
    Active(What),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Publish,
    Play,
}

/// See the module's description.
#[derive(Debug)]
pub struct Server {
    connection: Connection,
    state: State,
    host: String,
    app: String,
    is_connected: bool,
    idle_commands: u32,
    /// The name that was asked for, for the answer.
    name: String,
    events: VecDeque<Event>,
}

impl Server {
    /// `random` fills the handshake; nothing in it is a secret.
    pub fn new(random: impl FnMut() -> u32) -> Self {
        Self {
            connection: Connection::new(Role::Server, COMMAND_LIMITS, random),
            state: State::Idle,
            host: String::new(),
            app: String::new(),
            is_connected: false,
            idle_commands: 0,
            name: String::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes bytes as they come. After an error the connection is to be closed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.connection.push(bytes)?;
        while let Some(message) = self.connection.poll()? {
            self.message(message)?;
            if self.connection.out.len() > MAX_ANSWERS {
                return Err(Error::TooManyAnswers(MAX_ANSWERS));
            }
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

    /// Lets the client do what it asked for. From here on media may be sent, on [`STREAM`].
    pub fn accept(&mut self) {
        let State::Asking(what) = self.state else { return };
        self.state = State::Active(what);
        match what {
            What::Publish => {
                self.connection.set_limits(Limits::default());
                self.status("status", "NetStream.Publish.Start", "publishing");
            }
            What::Play => {
                self.connection.put_stream_begin(STREAM);
                self.status("status", "NetStream.Play.Reset", "playing from the live edge");
                self.status("status", "NetStream.Play.Start", "playing");
                // Players of old do not touch a picture without it.
                let access = [Value::from("|RtmpSampleAccess"), Value::Boolean(true), Value::Boolean(true)];
                self.connection.put_data(STREAM, &access);
            }
        }
    }

    /// Does not let the client do what it asked for. The connection is to be closed when this has been sent.
    pub fn refuse(&mut self, refusal: Refusal, why: &str) {
        let State::Asking(what) = self.state else { return };
        self.state = State::Idle;
        let code = match (what, refusal) {
            (What::Publish, Refusal::Denied) => "NetStream.Publish.Denied",
            (What::Publish, _) => "NetStream.Publish.BadName",
            (What::Play, Refusal::NotFound) => "NetStream.Play.StreamNotFound",
            (What::Play, _) => "NetStream.Play.Failed",
        };
        self.status("error", code, why);
    }

    /// Tells a player that the stream has ended, or a publisher that it has been sent away.
    pub fn end(&mut self, why: &str) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Active(What::Play) => {
                self.status("status", "NetStream.Play.UnpublishNotify", why);
                self.connection.put_stream_eof(STREAM);
            }
            State::Active(What::Publish) => self.status("error", "NetStream.Publish.BadName", why),
            _ => {}
        }
    }

    fn message(&mut self, message: Message) -> Result<(), Error> {
        match message.kind {
            message_type::COMMAND | message_type::COMMAND_AMF3 => {
                let command = connection::command(&message)?;
                self.command(&command)
            }
            _ if self.state == State::Active(What::Publish) => {
                let mut media = Vec::new();
                connection::media(message, &mut media);
                self.events.extend(media.into_iter().map(Event::Media));
                Ok(())
            }
            // Media that nobody has asked for yet, or any more.
            _ => Ok(()),
        }
    }

    fn command(&mut self, command: &Command) -> Result<(), Error> {
        if self.state == State::Idle {
            self.idle_commands += 1;
            if self.idle_commands > MAX_IDLE_COMMANDS {
                return Err(Error::TooManyCommands(MAX_IDLE_COMMANDS));
            }
        }
        match command.name.as_str() {
            "connect" => self.connect(command),
            "createStream" => self.result(command, Value::Number(STREAM.into())),
            "publish" => return self.ask(What::Publish, command),
            "play" => return self.ask(What::Play, command),
            "FCUnpublish" | "deleteStream" | "closeStream" => self.stop(),
            "pause" | "pauseRaw" => self.pause(command),
            "seek" => self.status("error", "NetStream.Seek.Failed", "this is live"),
            "getStreamLength" => self.result(command, Value::Number(0.0)),
            // Answers to what we did not ask.
            "_result" | "_error" | "onStatus" => {}
            // releaseStream, FCPublish, _checkbw and whatever else an encoder likes to be told "yes" to.
            _ if command.transaction > 0.0 => self.result(command, Value::Undefined),
            _ => {}
        }
        Ok(())
    }

    fn connect(&mut self, command: &Command) {
        let text = |name: &str| command.property(name).and_then(Value::as_str).unwrap_or_default();
        self.app = text("app").chars().take(MAX_ADDRESS).collect();
        self.host = host(text("tcUrl")).chars().take(MAX_ADDRESS).collect();
        self.is_connected = true;
        self.connection.put_limits();
        let server = Value::object([
            ("fmsVer", "FMS/3,5,7,7009".into()),
            ("capabilities", 31.0.into()),
            ("mode", 1.0.into()),
        ]);
        let four_ccs = FOUR_CCS.map(Value::from).to_vec();
        // "Can be decoded, encoded and forwarded" are bits; forwarding is what we do.
        const CAN_FORWARD: f64 = 4.0;
        let info = |list: &[&str]| {
            Value::Object(list.iter().map(|name| ((*name).to_owned(), CAN_FORWARD.into())).collect())
        };
        let status = Value::object([
            ("level", "status".into()),
            ("code", "NetConnection.Connect.Success".into()),
            ("description", "connected".into()),
            ("objectEncoding", 0.0.into()),
            ("fourCcList", Value::Array(four_ccs)),
            ("capsEx", CAPS_EX.into()),
            ("videoFourCcInfoMap", info(&["avc1", "hvc1", "av01", "vp09", "vp08"])),
            ("audioFourCcInfoMap", info(&["mp4a", "Opus", ".mp3"])),
        ]);
        self.connection.put_command(0, "_result", command.transaction, &[server, status]);
    }

    fn ask(&mut self, what: What, command: &Command) -> Result<(), Error> {
        if !self.is_connected {
            return Err(Error::NotConnected(if what == What::Publish { "publish" } else { "play" }));
        }
        if self.state != State::Idle {
            // One stream a connection; the one that runs is not disturbed.
            self.status("error", "NetStream.Failed", "this connection has a stream");
            return Ok(());
        }
        self.name = command.text(1).unwrap_or_default().chars().take(MAX_ADDRESS).collect();
        self.state = State::Asking(what);
        let address = self.address();
        self.events.push_back(match what {
            What::Publish => Event::Publish(address),
            What::Play => Event::Play(address),
        });
        Ok(())
    }

    fn address(&self) -> Address {
        let (app, app_query) = self.app.split_once('?').unwrap_or((&self.app, ""));
        let (name, query) = self.name.split_once('?').unwrap_or((&self.name, ""));
        let app = app.trim_matches('/');
        let name = name.trim_start_matches('/');
        // Some encoders put all of the path into the application, and leave the name empty, or the reverse.
        let path = [app, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        let query = if query.is_empty() { app_query } else { query };
        Address { host: self.host.clone(), path, query: query.to_owned() }
    }

    fn stop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        if let State::Active(what) = state {
            if what == What::Publish {
                self.status("status", "NetStream.Unpublish.Success", "unpublished");
            }
            self.connection.set_limits(COMMAND_LIMITS);
        }
        if state != State::Idle {
            self.events.push_back(Event::Stop);
        }
    }

    fn pause(&mut self, command: &Command) {
        if self.state != State::Active(What::Play) {
            return;
        }
        let pauses = matches!(command.arguments.get(1), Some(Value::Boolean(true)));
        let code = if pauses { "NetStream.Pause.Notify" } else { "NetStream.Unpause.Notify" };
        self.status("status", code, if pauses { "paused" } else { "playing" });
        self.events.push_back(Event::Pause(pauses));
    }

    fn result(&mut self, command: &Command, value: Value) {
        self.connection.put_command(command.stream, "_result", command.transaction, &[Value::Null, value]);
    }

    fn status(&mut self, level: &str, code: &str, description: &str) {
        let status = Value::object([
            ("level", level.into()),
            ("code", code.into()),
            ("description", description.into()),
            ("details", self.name.split('?').next().unwrap_or_default().into()),
        ]);
        self.connection.put_command(STREAM, "onStatus", 0.0, &[Value::Null, status]);
    }
}

/// The host of an address, with its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// Appends a message of a stream, whole, as every player gets it.
pub fn write_media(kind: TagKind, timestamp: u32, body: &[u8], out: &mut BytesMut) {
    let writer = ChunkWriter::with_chunk_size(connection::CHUNK_SIZE as usize);
    writer.write(connection::chunk_stream(kind), kind.number(), STREAM, timestamp, body, out);
}
