//! HTTP-FLV from an origin.

use std::time::Duration;

use container::flv::Demuxer;
use flv::Ingest;
use tracing::debug;

use super::Failure;
use super::intake::Intake;

/// For the head of the answer.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// HTTP's "OK".
const OK: u16 = 200;

/// Plays `url` into `intake` until either ends.
pub(super) async fn pull(url: String, mut intake: Intake) -> Result<(), Failure> {
    let (status, mut body) = fetch::get(&url, HEAD_LIMIT).await?;
    if status != OK {
        return Err(Failure::Status(status));
    }
    let (mut demuxer, mut ingest, mut items) = (Demuxer::default(), Ingest::default(), Vec::new());
    loop {
        let piece = tokio::select! {
            piece = body.next() => piece.ok_or(Failure::Ended)??,
            failure = intake.ended() => return Err(failure),
        };
        demuxer.push(&piece);
        while let Some((header, body)) = demuxer.poll()? {
            if let Err(error) = ingest.tag(header.kind, header.timestamp, &body, &mut items) {
                debug!(%error, "a tag of an origin is left out");
            }
        }
        intake.take(&mut items)?;
    }
}
