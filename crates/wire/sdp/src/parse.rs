//! From text to values.

mod rtp;

use ::rtp::{Mid, Pt};

use crate::candidate::MAX_ICE_TEXT;
use crate::session::is_rtp_protocol;
use crate::{
    Attribute, Candidate, Direction, Error, ErrorKind, Fingerprint, Group, Ice, Kind, Origin, Payload,
    Section, Session, Setup, Transport,
};

/// What a description may cost. Time and memory are linear in `bytes`, times at most `per_section`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the text.
    pub bytes: usize,
    /// `m=` lines.
    pub sections: usize,
    /// Entries of one kind in one section: SSRCs, candidates, unknown attributes, …
    pub per_section: usize,
}

impl Default for Limits {
    /// A Chromium video section has about 6,000 bytes and 140 lines; a single peer connection that shows a
    /// hundred participants has 200 sections and more.
    fn default() -> Self {
        Self { bytes: 2 << 20, sections: 256, per_section: 256 }
    }
}

/// Session-level lists are copied into each section, so they are kept short: entries.
const MAX_SHARED: usize = 16;
/// Longest ICE option or hash name, bytes.
const MAX_OPTION: usize = 64;

/// Reads a description.
pub fn parse(text: &str, limits: &Limits) -> Result<Session, Error> {
    if text.len() > limits.bytes {
        return Err(Error { line: 0, kind: ErrorKind::TooLong });
    }
    let mut parser = Parser {
        limits: *limits,
        session: Session::default(),
        direction: Direction::default(),
        begun: false,
    };
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if !line.is_empty() {
            parser.line(line).map_err(|kind| Error { line: at + 1, kind })?;
        }
    }
    parser.finish()
}

struct Parser {
    limits: Limits,
    session: Session,
    /// The session-level direction, which sections start with.
    direction: Direction,
    /// `v=0` has been seen.
    begun: bool,
}

type Outcome<T = ()> = Result<T, ErrorKind>;

fn malformed(what: &'static str) -> ErrorKind {
    ErrorKind::Malformed(what)
}

/// RFC 8866 section 9, `token`.
pub(crate) fn is_token(text: &str) -> bool {
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&b);
    !text.is_empty() && text.bytes().all(in_token)
}

impl Parser {
    fn line(&mut self, line: &str) -> Outcome {
        let (name, value) = line.split_once('=').ok_or(ErrorKind::NotALine)?;
        if !self.begun {
            self.begun = true;
            return if (name, value.trim()) == ("v", "0") { Ok(()) } else { Err(ErrorKind::NotSdp) };
        }
        match name {
            "o" => {
                self.session.origin = origin(value);
                Ok(())
            }
            "m" => self.section(value),
            "a" => self.attribute(value),
            // s, t, c, b and the rest say nothing in WebRTC.
            _ if name.len() == 1 && name.bytes().all(|b| b.is_ascii_lowercase()) => Ok(()),
            _ => Err(ErrorKind::NotALine),
        }
    }

    fn section(&mut self, value: &str) -> Outcome {
        if self.session.sections.len() >= self.limits.sections {
            return Err(ErrorKind::TooMany("sections"));
        }
        let bad = malformed("m-line");
        let mut words = value.split_ascii_whitespace();
        let kind = match words.next().ok_or(bad)? {
            "audio" => Kind::Audio,
            "video" => Kind::Video,
            "application" => Kind::Application,
            other => Kind::Other(other.into()),
        };
        let port = words.next().ok_or(bad)?;
        let port = port.split('/').next().and_then(|port| port.parse().ok()).ok_or(bad)?;
        let protocol = words.next().ok_or(bad)?;
        let mut section = Section { port, direction: self.direction, ..Section::new(kind, protocol) };
        if is_rtp_protocol(protocol) {
            for word in words {
                let pt = payload_type(word).ok_or(bad)?;
                if section.rtp.payload(pt).is_none() {
                    section.rtp.payloads.push(unmapped(pt));
                }
            }
        } else {
            for word in words {
                bounded(&mut section.formats, word.into(), &self.limits, "formats")?;
            }
        }
        self.session.sections.push(section);
        Ok(())
    }

    fn attribute(&mut self, text: &str) -> Outcome {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if !is_token(name) {
            return Err(malformed("attribute"));
        }
        let limits = self.limits;
        let Some(section) = self.session.sections.last_mut() else {
            return self.session_attribute(name, value);
        };
        if let Some(direction) = Direction::from_name(name) {
            section.direction = direction;
            return Ok(());
        }
        if transport_attribute(&mut section.transport, name, value, &limits)?
            || rtp::attribute(&mut section.rtp, name, value, &limits)?
            || section_attribute(section, name, value)?
        {
            return Ok(());
        }
        keep(&mut section.attributes, name, value, &limits)
    }

    fn session_attribute(&mut self, name: &str, value: Option<&str>) -> Outcome {
        let session = &mut self.session;
        if let Some(direction) = Direction::from_name(name) {
            self.direction = direction;
            return Ok(());
        }
        if transport_attribute(&mut session.transport, name, value, &self.limits)? {
            return Ok(());
        }
        match (name, value) {
            ("ice-lite", None) => session.ice_lite = true,
            ("extmap-allow-mixed", None) => session.extmap_allow_mixed = true,
            ("group", Some(value)) => {
                let mut words = value.split_ascii_whitespace();
                let semantics = words.next().ok_or(malformed("group"))?.into();
                let mids = words
                    .map(|word| Mid::new(word).ok_or(malformed("group")))
                    .collect::<Outcome<Vec<_>>>()?;
                if mids.len() > self.limits.sections {
                    return Err(ErrorKind::TooMany("mids in a group"));
                }
                bounded(&mut session.groups, Group { semantics, mids }, &self.limits, "groups")?;
            }
            _ => keep(&mut session.attributes, name, value, &self.limits)?,
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Session, Error> {
        if !self.begun {
            return Err(Error { line: 0, kind: ErrorKind::NotSdp });
        }
        let mut mids: Vec<Mid> = self.session.sections.iter().filter_map(|section| section.mid).collect();
        mids.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        if mids.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Error { line: 0, kind: ErrorKind::DuplicateMid });
        }
        let shared = &self.session.transport;
        for section in &mut self.session.sections {
            inherit(&mut section.transport, shared);
        }
        Ok(self.session)
    }
}

/// Gives a section what the session level says for all.
fn inherit(transport: &mut Transport, shared: &Transport) {
    let whole = |ice: &Ice| !ice.ufrag.is_empty() && !ice.pwd.is_empty();
    if transport.ice.as_ref().is_none_or(|ice| !whole(ice)) {
        transport.ice = shared.ice.clone().filter(whole);
    }
    if transport.ice_options.is_empty() {
        transport.ice_options.clone_from(&shared.ice_options);
    }
    if transport.fingerprints.is_empty() {
        transport.fingerprints.clone_from(&shared.fingerprints);
    }
    transport.setup = transport.setup.or(shared.setup);
    transport.end_of_candidates |= shared.end_of_candidates;
}

fn origin(value: &str) -> Origin {
    let mut words = value.split_ascii_whitespace();
    let username = words.next().unwrap_or("-").into();
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Origin { username, session_id: number(), version: number() }
}

fn bounded<T>(list: &mut Vec<T>, item: T, limits: &Limits, what: &'static str) -> Outcome {
    if list.len() >= limits.per_section {
        return Err(ErrorKind::TooMany(what));
    }
    list.push(item);
    Ok(())
}

fn keep(list: &mut Vec<Attribute>, name: &str, value: Option<&str>, limits: &Limits) -> Outcome {
    let attribute = Attribute { name: name.into(), value: value.map(Into::into) };
    bounded(list, attribute, limits, "attributes")
}

fn payload_type(word: &str) -> Option<Pt> {
    word.parse().ok().filter(|pt| *pt < 128).map(Pt)
}

/// A payload before its `rtpmap`; some types need none (RFC 3551 section 6).
fn unmapped(pt: Pt) -> Payload {
    match pt.0 {
        0 => Payload::new(pt, "PCMU", 8000),
        8 => Payload::new(pt, "PCMA", 8000),
        9 => Payload::new(pt, "G722", 8000),
        13 => Payload::new(pt, "CN", 8000),
        _ => Payload::new(pt, "", 0),
    }
}

/// A user fragment or password.
fn ice_text(value: &str) -> Outcome<String> {
    let value = value.trim();
    let plain = value.bytes().all(|b| b.is_ascii_graphic());
    if value.is_empty() || value.len() > MAX_ICE_TEXT || !plain {
        return Err(malformed("ICE credentials"));
    }
    Ok(value.into())
}

/// Reads an attribute of the transport; false if it is not one.
fn transport_attribute(
    transport: &mut Transport,
    name: &str,
    value: Option<&str>,
    limits: &Limits,
) -> Outcome<bool> {
    match (name, value) {
        ("ice-ufrag", Some(value)) => transport.ice.get_or_insert_default().ufrag = ice_text(value)?,
        ("ice-pwd", Some(value)) => transport.ice.get_or_insert_default().pwd = ice_text(value)?,
        ("ice-options", Some(value)) => {
            let options: Vec<String> = value.split_ascii_whitespace().map(Into::into).collect();
            if options.len() > MAX_SHARED || options.iter().any(|option| option.len() > MAX_OPTION) {
                return Err(ErrorKind::TooMany("ICE options"));
            }
            transport.ice_options = options;
        }
        ("fingerprint", Some(value)) => {
            let fingerprint = Fingerprint::parse(value).ok_or(malformed("fingerprint"))?;
            if transport.fingerprints.len() >= MAX_SHARED || fingerprint.algorithm.len() > MAX_OPTION {
                return Err(ErrorKind::TooMany("fingerprints"));
            }
            transport.fingerprints.push(fingerprint);
        }
        ("setup", Some(value)) => {
            transport.setup = Some(Setup::from_name(value.trim()).ok_or(malformed("setup"))?);
        }
        ("candidate", Some(value)) => {
            // One that cannot be read cannot be used, and the others still can.
            if let Ok(candidate) = Candidate::parse_value(value) {
                bounded(&mut transport.candidates, candidate, limits, "candidates")?;
            }
        }
        ("end-of-candidates", None) => transport.end_of_candidates = true,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Reads an attribute of the section as a whole; false if it is not one.
fn section_attribute(section: &mut Section, name: &str, value: Option<&str>) -> Outcome<bool> {
    match (name, value) {
        ("mid", Some(value)) => section.mid = Some(Mid::new(value.trim()).ok_or(malformed("mid"))?),
        ("bundle-only", None) => section.bundle_only = true,
        ("sctp-port", Some(value)) => {
            section.data.sctp_port = Some(value.trim().parse().map_err(|_| malformed("sctp-port"))?);
        }
        ("max-message-size", Some(value)) => {
            let size = value.trim().parse().map_err(|_| malformed("max-message-size"))?;
            section.data.max_message_size = Some(size);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
