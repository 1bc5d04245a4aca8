//! What is made of a stream's frames, kept beside its ring.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Frame, Headers, Stream};

/// The serialised form of each frame under the frame's index: made when somebody first asks for it, the same
/// for everybody, and gone when the frame is.
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
        while self.base < stream.base() && self.forms.pop_front().is_some() {
            self.base += 1;
        }
        if self.forms.is_empty() {
            // Nobody has asked for those before.
            self.base = index.max(stream.base());
        }
        loop {
            let next = self.base + self.forms.len() as u64;
            if next > index {
                break;
            }
            let frame = stream.frame(next)?;
            self.forms.push_back(stream.headers_at(next).and_then(|headers| write(headers, frame)));
        }
        let at = usize::try_from(index.checked_sub(self.base)?).ok()?;
        self.forms.get(at)?.clone()
    }

    /// How many forms are kept.
    pub fn len(&self) -> usize {
        self.forms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }
}
