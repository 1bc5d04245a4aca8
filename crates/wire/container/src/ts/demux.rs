//! Packets back to frames.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};
use codec::Kind;

use super::pes::{Assembler, Malformed, Pes, Unwrap};
use super::psi::{self, Sections};
use super::{PACKET, SYNC};

/// Packets that must follow each other for their sync bytes to be believed.
const SURE: usize = 3;
/// Streams of a program that are read.
const MAX_STREAMS: usize = 16;
/// PIDs that belong to no stream.
const PAT_PID: u16 = 0;

/// A frame, or what else one PES packet carries: of sound that may be several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its stream within the program.
    pub pid: u16,
    pub codec: Kind,
    /// In 1/90,000 s, going on where 33 bits wrap.
    pub dts: i64,
    pub pts: i64,
    /// Its packets say that decoding can begin here.
    pub is_random_access: bool,
    /// As the codec has it in a transport stream: Annex B, ADTS.
    pub data: Bytes,
}

/// What was lost or not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Bytes between packets.
    pub skipped: u64,
    /// Packets that say that they are damaged, are scrambled, or contradict themselves.
    pub packets: u64,
    /// Places where the counter shows that packets are missing.
    pub gaps: u64,
    pub sections: u64,
    /// Frames that lack a part or have no time.
    pub units: u64,
}

/// Reads the first program of a stream, from wherever it is joined. What is missing costs the frames that it was
/// in, and nothing else. Memory is bounded whatever comes.
#[derive(Debug, Default)]
pub struct Demuxer {
    buffer: BytesMut,
    is_synced: bool,
    association: Table,
    map: Table,
    map_pid: Option<u16>,
    streams: Vec<Stream>,
    clock: Unwrap,
    reference: Option<i64>,
    units: VecDeque<Unit>,
    losses: Losses,
}

#[derive(Debug, Default)]
struct Table {
    counter: Option<u8>,
    sections: Sections,
}

#[derive(Debug)]
struct Stream {
    pid: u16,
    codec: Kind,
    counter: Option<u8>,
    assembler: Assembler,
}

/// A packet's head (section 2.4.3.2), and what of its adaptation field (section 2.4.3.4) matters.
struct Packet<'a> {
    pid: u16,
    begins: bool,
    counter: u8,
    is_discontinuous: bool,
    is_random_access: bool,
    reference: Option<i64>,
    payload: Option<&'a [u8]>,
}

impl Demuxer {
    /// Takes what has come, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.align() {
            let packet = self.buffer.split_to(PACKET);
            match Packet::parse(&packet) {
                Some(packet) => self.packet(&packet),
                None => self.losses.packets += 1,
            }
        }
    }

    /// The next frame.
    pub fn poll(&mut self) -> Option<Unit> {
        self.units.pop_front()
    }

    /// Nothing more comes: frames whose end nothing tells are complete.
    pub fn finish(&mut self) {
        for at in 0..self.streams.len() {
            let found = self.streams.get_mut(at).map(|stream| stream.assembler.finish());
            self.take(at, found.unwrap_or(Ok(None)));
        }
    }

    /// The codecs of the program, by PID, as its table says.
    pub fn program(&self) -> impl Iterator<Item = (u16, Kind)> + '_ {
        self.streams.iter().map(|stream| (stream.pid, stream.codec))
    }

    /// The program's clock reference as it was last told, in 1/90,000 s.
    pub fn reference(&self) -> Option<i64> {
        self.reference
    }

    pub fn losses(&self) -> Losses {
        self.losses
    }

    /// Puts a packet at the buffer's beginning; false if there is none yet.
    fn align(&mut self) -> bool {
        // A packet that none follows has lost its end, or is none.
        let is_other = |at: usize| self.buffer.get(at).is_some_and(|byte| *byte != SYNC);
        if self.is_synced && (is_other(0) || is_other(PACKET)) {
            self.is_synced = false;
            // Whatever was being put together has lost a part.
            self.lose();
        }
        while !self.is_synced {
            let is_sync = |at: usize| self.buffer.get(at).map(|byte| *byte == SYNC);
            let found = self.buffer.iter().position(|byte| *byte == SYNC).unwrap_or(self.buffer.len());
            self.losses.skipped += found as u64;
            if found > 0 {
                self.buffer.advance(found);
                continue;
            }
            match (0..SURE).map(|n| is_sync(n * PACKET)).find(|sync| *sync != Some(true)) {
                None => self.is_synced = true,
                Some(Some(_)) => {
                    self.losses.skipped += 1;
                    self.buffer.advance(1);
                }
                // It is not known yet.
                Some(None) => return false,
            }
        }
        self.buffer.len() >= PACKET
    }

    fn lose(&mut self) {
        self.association.sections.lose();
        self.map.sections.lose();
        for stream in &mut self.streams {
            self.losses.units += u64::from(stream.assembler.lose());
        }
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        if let Some(reference) = packet.reference {
            self.reference = Some(self.reference.map_or(reference, |last| self.clock.near(reference, last)));
        }
        let Some(payload) = packet.payload else { return };
        if packet.pid == PAT_PID {
            self.associate(packet, payload);
        } else if self.map_pid == Some(packet.pid) {
            self.remap(packet, payload);
        } else if let Some(at) = self.streams.iter().position(|stream| stream.pid == packet.pid) {
            self.stream(at, packet, payload);
        }
    }

    fn associate(&mut self, packet: &Packet<'_>, payload: &[u8]) {
        let Some(payload) = self.association.admit(packet, payload, &mut self.losses) else { return };
        let mut found = None;
        let take = |section: &[u8]| found = psi::association(section).or(found);
        self.losses.sections += self.association.sections.push(packet.begins, payload, take);
        if let Some(pid) = found.filter(|pid| self.map_pid != Some(*pid)) {
            self.map_pid = Some(pid);
            self.map = Table::default();
        }
    }

    fn remap(&mut self, packet: &Packet<'_>, payload: &[u8]) {
        let Some(payload) = self.map.admit(packet, payload, &mut self.losses) else { return };
        let mut found = None;
        let take = |section: &[u8]| found = psi::map(section).or_else(|| found.take());
        self.losses.sections += self.map.sections.push(packet.begins, payload, take);
        let Some(mut program) = found else { return };
        program.truncate(MAX_STREAMS);
        self.streams.retain(|stream| program.contains(&(stream.pid, stream.codec)));
        for (pid, codec) in program {
            if !self.streams.iter().any(|stream| stream.pid == pid) {
                self.streams.push(Stream { pid, codec, counter: None, assembler: Assembler::default() });
            }
        }
    }

    fn stream(&mut self, at: usize, packet: &Packet<'_>, payload: &[u8]) {
        let Some(stream) = self.streams.get_mut(at) else { return };
        match follow(&mut stream.counter, packet) {
            Order::Next => {}
            Order::Again => return,
            Order::Gap => {
                self.losses.gaps += 1;
                self.losses.units += u64::from(stream.assembler.lose());
            }
        }
        if packet.begins {
            let before = stream.assembler.begin(packet.is_random_access, payload);
            let whole = stream.assembler.poll();
            self.take(at, before);
            self.take(at, whole);
        } else {
            let found = stream.assembler.go_on(payload);
            self.take(at, found);
        }
    }

    fn take(&mut self, at: usize, found: Result<Option<Pes>, Malformed>) {
        let Some(stream) = self.streams.get(at) else { return };
        match found {
            Err(Malformed) => self.losses.units += 1,
            Ok(None) => {}
            Ok(Some(pes)) => {
                let dts = self.clock.at(pes.dts);
                let unit = Unit {
                    pid: stream.pid,
                    codec: stream.codec,
                    dts,
                    pts: self.clock.near(pes.pts, dts),
                    is_random_access: pes.is_random_access,
                    data: pes.data,
                };
                self.units.push_back(unit);
            }
        }
    }
}

impl Table {
    /// What of a packet is to be read.
    fn admit<'a>(&mut self, packet: &Packet<'_>, payload: &'a [u8], losses: &mut Losses) -> Option<&'a [u8]> {
        match follow(&mut self.counter, packet) {
            Order::Next => {}
            // A table that begins is read again, for it may be that of a sender that has begun again.
            Order::Again if packet.begins => {}
            Order::Again => return None,
            Order::Gap => {
                losses.gaps += 1;
                self.sections.lose();
            }
        }
        Some(payload)
    }
}

enum Order {
    Next,
    /// A packet may be sent twice (section 2.4.3.3).
    Again,
    Gap,
}

fn follow(last: &mut Option<u8>, packet: &Packet<'_>) -> Order {
    let before = last.replace(packet.counter);
    match before {
        None => Order::Next,
        Some(_) if packet.is_discontinuous => Order::Next,
        Some(before) if packet.counter == (before + 1) & 0x0f => Order::Next,
        Some(before) if packet.counter == before => Order::Again,
        Some(_) => Order::Gap,
    }
}

impl<'a> Packet<'a> {
    /// None if it says that it is damaged, is scrambled, or contradicts itself.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [SYNC, first, second, third, rest @ ..] = bytes else { return None };
        if first & 0x80 != 0 || third & 0xc0 != 0 {
            return None;
        }
        let mut packet = Self {
            pid: u16::from_be_bytes([*first, *second]) & 0x1fff,
            begins: first & 0x40 != 0,
            counter: third & 0x0f,
            is_discontinuous: false,
            is_random_access: false,
            reference: None,
            payload: None,
        };
        let payload = match third >> 4 & 3 {
            1 => Some(rest),
            2 => {
                packet.adapt(rest)?;
                None
            }
            3 => packet.adapt(rest),
            // Reserved.
            _ => return None,
        };
        if third & 0x10 != 0 && payload.is_none() {
            return None;
        }
        packet.payload = payload;
        Some(packet)
    }

    /// Reads the adaptation field; what is behind it.
    fn adapt(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (&len, rest) = bytes.split_first()?;
        let (field, rest) = rest.split_at_checked(usize::from(len))?;
        if let Some((flags, field)) = field.split_first() {
            self.is_discontinuous = flags & 0x80 != 0;
            self.is_random_access = flags & 0x40 != 0;
            if flags & 0x10 != 0 {
                let [a, b, c, d, e, _] = field.first_chunk::<6>()?.map(i64::from);
                self.reference = Some(a << 25 | b << 17 | c << 9 | d << 1 | e >> 7);
            }
        }
        Some(rest)
    }
}

#[cfg(test)]
mod tests;
