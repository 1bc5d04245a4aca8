//! HLS on sockets: who plays, and how long a request waits.
//!
//! Owns: the answer to each request for a file. A player has no connection that lasts, so it is known by its
//! address, and is gone when nothing has been heard from there for a while; the streams that are cut for players
//! are in [`streams`].

mod streams;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hls::{Container, Page, Reach, Reload, Tracks, Variant};
use media::PlayError;
use vhost::{AddressError, App, HlsContainer, Protocol};

use crate::gate::Pass;
use crate::{Desk, Refused, Visit};
pub(crate) use streams::Streams;
use streams::{Cut, Stream};

/// For the first segment of a stream, and for a playlist or part that was asked for ahead.
pub(crate) const WAIT: Duration = Duration::from_secs(15);

const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// An answer that is not a refusal.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) content_type: &'static str,
    /// Whether others may keep it: segments never change.
    pub(crate) is_lasting: bool,
    pub(crate) pieces: Vec<Bytes>,
}

/// Answers a request for `file` in the stream's folder.
pub(crate) async fn file(desk: &Desk, visit: Visit, file: &str, pass: &Pass) -> Result<File, Refused> {
    let wanted = hls::File::parse(file).ok_or(AddressError::UnknownFile)?;
    desk.judge_play(&visit)?;
    let stream = streams::stream(desk, &visit).await?;
    // Whoever waits for a first playlist is no stranger: a crowd of players comes before there is one.
    pass.let_in();
    // Over HTTP/2 a request that is taken back ends where it waits.
    let _asking = streams::Asking::new(desk, &visit.place.name, &stream);
    answer(desk, &visit, &stream, wanted).await
}

async fn answer(
    desk: &Desk,
    visit: &Visit,
    stream: &Arc<Stream>,
    wanted: hls::File,
) -> Result<File, Refused> {
    let Some(variant) = wanted.variant() else { return index(desk, visit, stream).await };
    let cut = streams::cuts(desk, &visit.place.name, stream, &[variant])?;
    let cut = cut.first().ok_or(AddressError::UnknownFile)?;
    let lasting = |pieces| File { content_type: variant.container.content_type(), is_lasting: true, pieces };
    match wanted {
        hls::File::Index | hls::File::Playlist(_) => playlist(visit, stream, cut).await,
        hls::File::Init(_, id) => {
            let bytes = cut.lock().init(id).ok_or(AddressError::UnknownFile)?;
            Ok(lasting(vec![bytes]))
        }
        hls::File::Segment(_, sequence) => {
            let segment = cut.lock().segment(sequence).ok_or(AddressError::UnknownFile)?;
            Ok(lasting(segment.bytes()))
        }
        hls::File::Part(_, sequence, part) => {
            // A part that was hinted is waited for; one further on is not.
            let number = u64::try_from(part).unwrap_or(u64::MAX);
            reach(cut, &Reload { segment: Some(sequence), part: Some(number), skip: false }).await?;
            let bytes = cut.lock().part(sequence, part).ok_or(AddressError::UnknownFile)?;
            Ok(lasting(vec![bytes]))
        }
    }
}

/// Which of the two switches lets an application's playlists out.
pub(crate) fn protocol(app: &App) -> Protocol {
    if app.protocols.is_on(Protocol::Hls) { Protocol::Hls } else { Protocol::LlHls }
}

/// The multivariant playlist: a variant for each track of pictures, in the container that takes them all.
async fn index(desk: &Desk, visit: &Visit, stream: &Arc<Stream>) -> Result<File, Refused> {
    let name = &visit.place.name;
    let mut following = desk.follow(name).ok_or(PlayError::NotFound)?;
    // Which tracks there are is known with the first frame.
    let begun = tokio::time::timeout(WAIT, following.beyond(0)).await;
    let headers = following.stream().lock().headers().cloned();
    let headers = match (begun, headers) {
        (Ok(true), Some(headers)) => headers,
        (Ok(_), _) => return Err(PlayError::NotFound.into()),
        (Err(_), _) => return Err(Refused::NotYet),
    };
    drop(following);
    let container = match visit.place.app.hls.container {
        HlsContainer::Auto => Tracks::of(&headers, 0).container(),
        HlsContainer::Ts => Container::Ts,
        HlsContainer::Fmp4 => Container::Fmp4,
    };
    let variants: Vec<Variant> =
        (0..Tracks::renditions(&headers)).map(|rendition| Variant { container, rendition }).collect();
    let cuts = streams::cuts(desk, name, stream, &variants)?;
    let mut facts = Vec::new();
    for cut in &cuts {
        match begin(cut).await {
            Ok(()) => facts.push(cut.lock().facts()),
            // Other renditions may be better off.
            Err(Refused::Codecs) if variants.len() > 1 => {}
            Err(refused) => return Err(refused),
        }
    }
    if facts.is_empty() {
        return Err(Refused::Codecs);
    }
    Ok(text(hls::index(&suffix(visit), &facts)))
}

async fn playlist(visit: &Visit, stream: &Stream, cut: &Cut) -> Result<File, Refused> {
    let reload = Reload::parse(|name| visit.query.get(name)).map_err(AddressError::Malformed)?;
    reach(cut, &reload).await?;
    begin(cut).await?;
    let reports = stream.reports(cut.variant);
    let suffix = suffix(visit);
    let page = Page { suffix: &suffix, skip: reload.skip, reports: &reports };
    Ok(text(cut.lock().playlist(&page)))
}

fn text(text: String) -> File {
    File { content_type: PLAYLIST, is_lasting: false, pieces: vec![text.into()] }
}

/// A token is asked for with every file, and players repeat none by themselves.
fn suffix(visit: &Visit) -> String {
    let is_plain = |token: &&str| token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    visit.query.token().filter(is_plain).map(|token| format!("?token={token}")).unwrap_or_default()
}

/// Waits until there is a whole segment.
async fn begin(cut: &Cut) -> Result<(), Refused> {
    let mut progress = cut.progress.subscribe();
    let known = tokio::time::timeout(WAIT, progress.wait_for(|now| now.is_known || now.is_over)).await;
    match known {
        Ok(Ok(now)) if now.is_known => {}
        Ok(_) => return Err(PlayError::NotFound.into()),
        Err(_) => return Err(Refused::NotYet),
    }
    if cut.lock().is_refused() { Err(Refused::Codecs) } else { Ok(()) }
}

/// Waits until what was asked for is there. What is too far ahead is malformed; what does not come in time may still
/// come (rfc8216bis section 6.2.5.2).
async fn reach(cut: &Cut, wanted: &Reload) -> Result<(), Refused> {
    let mut progress = cut.progress.subscribe();
    let wait = async {
        loop {
            let reach = cut.lock().reach(wanted);
            match reach {
                Reach::There => return Ok(()),
                Reach::TooFar => return Err(AddressError::Malformed("it is too far ahead").into()),
                Reach::Later => {}
            }
            if progress.borrow().is_over || cut.lock().is_refused() || progress.changed().await.is_err() {
                return Err(Refused::from(AddressError::UnknownFile));
            }
        }
    };
    tokio::time::timeout(WAIT, wait).await.unwrap_or(Err(Refused::NotYet))
}

#[cfg(test)]
mod tests;
