//! What a connection brings, into the stream that it publishes.

use flv::Item;
use media::Replaced;

use crate::Publishing;

/// Publishes what came together: frames with one lock, tracks in their place between them.
pub(crate) fn feed(publishing: &Publishing, items: impl IntoIterator<Item = Item>) -> Result<(), Replaced> {
    let mut frames = Vec::new();
    for item in items {
        match item {
            Item::Frame(frame) => frames.push(frame),
            Item::Track(track) => {
                if !frames.is_empty() {
                    publishing.push(frames.drain(..))?;
                }
                publishing.set_track(track)?;
            }
        }
    }
    if frames.is_empty() { Ok(()) } else { publishing.push(frames) }
}
