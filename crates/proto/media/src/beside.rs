//! What is made of a stream's frames, kept beside its ring.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Frame, Headers, Stream};

/// The serialised form of each frame near the live edge under the frame's index: made when somebody first asks
/// for it, the same for everybody, and gone when it is no longer near. Who is further behind gets a form of
/// its own, so that a large ring is not held twice.
#[derive(Debug, Default)]
pub struct Beside {
    /// The index of the first.
    base: u64,
    /// None for frames that have no such form.
    forms: VecDeque<Option<Bytes>>,
}

impl Beside {
    /// The form of the frame at `index`; none if the frame is not in the ring or has none.
    pub fn get(
        &mut self,
        stream: &Stream,
        index: u64,
        write: impl Fn(&Headers, &Frame) -> Option<Bytes>,
    ) -> Option<Bytes> {
        let form = |index| {
            let frame = stream.frame(index)?;
            stream.headers_at(index).and_then(|headers| write(headers, frame))
        };
        let next = self.base + self.forms.len() as u64;
        if index >= next {
            self.extend(stream, index, form);
        }
        match index.checked_sub(self.base).and_then(|at| self.forms.get(usize::try_from(at).ok()?)) {
            Some(kept) => kept.clone(),
            None => form(index),
        }
    }

    /// Makes the forms up to `index`, as far as they are near, and drops those that are so no longer.
    fn extend(&mut self, stream: &Stream, index: u64, form: impl Fn(u64) -> Option<Bytes>) {
        while !self.forms.is_empty() && !stream.is_near(self.base) {
            self.forms.pop_front();
            self.base += 1;
        }
        if self.forms.is_empty() {
            // Nobody has asked for those before.
            self.base = index;
        }
        if !stream.is_near(index) {
            return;
        }
        for index in self.base + self.forms.len() as u64..=index {
            self.forms.push_back(form(index));
        }
    }

    /// How many forms are kept.
    pub fn len(&self) -> usize {
        self.forms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test has to begin somewhere
mod tests {
    use std::time::{Duration, Instant};

    use clock::Time;

    use super::*;
    use crate::{Config, Session, Shape, Sound, Ticks, Track, TrackId};

    /// Blocks of sound, 20 ms each, from `first` on.
    fn push(stream: &mut Stream, session: Session, blocks: std::ops::Range<i64>) {
        let now = Time { mono: Instant::now(), unix: Duration::ZERO };
        for n in blocks {
            let at = Ticks::from_millis(n * 20);
            let payload = Bytes::from(n.to_string());
            let frame = Frame { track: TrackId::AUDIO, key: true, dts: at, pts: at, payload };
            stream.push(session, now, frame).unwrap();
        }
    }

    fn stream() -> (Stream, Session) {
        let mut stream = Stream::new(Config { content_latency: Duration::from_secs(3), ..Config::default() });
        let session = stream.begin(Time { mono: Instant::now(), unix: Duration::ZERO });
        let shape = Shape::Audio(Sound { rate: 48_000, channels: 2 });
        let track = Track { id: TrackId::AUDIO, codec: codec::Kind::Mp3, config: Bytes::new(), shape };
        stream.set_track(session, track).unwrap();
        (stream, session)
    }

    fn get(beside: &mut Beside, stream: &Stream, index: u64) -> Option<Bytes> {
        beside.get(stream, index, |_, frame| Some(Bytes::copy_from_slice(&frame.payload)))
    }

    #[test]
    fn only_what_is_near_the_live_edge_is_kept_however_large_the_ring_is() {
        let (mut stream, session) = stream();
        push(&mut stream, session, 0..300);
        let mut beside = Beside::default();
        for n in 300..800 {
            push(&mut stream, session, n..n + 1);
            let form = get(&mut beside, &stream, n as u64).unwrap();
            assert_eq!(form, n.to_string());
            assert_eq!(form.as_ptr(), get(&mut beside, &stream, n as u64).unwrap().as_ptr(), "made once");
            // 3 s of them, both ends included.
            assert!(beside.len() <= 151, "{}", beside.len());
        }
        assert_eq!(stream.base(), 0, "the ring has them all");
    }

    #[test]
    fn who_is_behind_the_first_that_asked_gets_every_frame() {
        let (mut stream, session) = stream();
        push(&mut stream, session, 0..500);
        let mut beside = Beside::default();
        assert!(get(&mut beside, &stream, 499).is_some());
        for n in 0..500 {
            assert_eq!(get(&mut beside, &stream, n).unwrap(), n.to_string());
            assert_eq!(beside.len(), 1, "nothing that others need");
        }
        assert_eq!(get(&mut beside, &stream, 500), None);
        // Also where nobody is near, and then somebody is.
        let mut beside = Beside::default();
        for n in 100..500 {
            assert_eq!(get(&mut beside, &stream, n).unwrap(), n.to_string());
        }
        assert_eq!(beside.len(), 151);
    }
}
