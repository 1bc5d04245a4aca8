//! Answers, in no version of HTTP yet.

use std::borrow::Cow;
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Refused;
use crate::hls::File;

type Header = (&'static str, Cow<'static, str>);

/// Any page may play: what is allowed is decided by tokens.
const OPEN: [Header; 3] = [
    ("Access-Control-Allow-Origin", Cow::Borrowed("*")),
    ("Access-Control-Allow-Methods", Cow::Borrowed("GET, HEAD, OPTIONS")),
    ("Access-Control-Allow-Headers", Cow::Borrowed("*")),
];

/// Status, headers but those that are about the connection, and body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<Header>,
    pub(super) pieces: Vec<Bytes>,
}

impl Answer {
    fn new(status: u16, headers: impl IntoIterator<Item = Header>) -> Self {
        Self { status, headers: headers.into_iter().chain(OPEN).collect(), pieces: Vec::new() }
    }

    /// What a page may ask. It has no body and says nothing of one (RFC 9110 section 8.6).
    pub(super) fn options() -> Self {
        Self::new(204, [])
    }

    pub(super) fn text(status: u16, text: String) -> Self {
        let kind = ("Content-Type", "text/plain; charset=utf-8".into());
        let mut answer = Self::new(status, [kind, ("Content-Length", text.len().to_string().into())]);
        answer.pieces = vec![text.into()];
        answer
    }

    pub(super) fn refusal(refused: &Refused) -> Self {
        let status = refused.status();
        let mut answer = Self::text(status, format!("{status} {refused}\n"));
        answer.headers.extend(refused.retry_after().map(|after| ("Retry-After", after.to_string().into())));
        answer
    }

    /// The head of a stream that has no length.
    pub(super) fn flv() -> Self {
        Self::new(200, [("Content-Type", "video/x-flv".into()), ("Cache-Control", "no-store".into())])
    }

    /// A playlist or a piece of a stream.
    pub(super) fn file(mut file: File, takes_gzip: bool) -> std::io::Result<Self> {
        // Segments are compressed as they are. Caches are told in either case (RFC 9110 section 12.5.5).
        let is_coded = takes_gzip && !file.is_lasting;
        if is_coded {
            file.pieces = vec![gzip(&file.pieces)?];
        }
        let length: usize = file.pieces.iter().map(Bytes::len).sum();
        let cache = if file.is_lasting { "max-age=60" } else { "no-cache" };
        let coding = is_coded.then_some(("Content-Encoding", "gzip".into()));
        let vary = (!file.is_lasting).then_some(("Vary", "Accept-Encoding".into()));
        let headers = [
            ("Content-Type", file.content_type.into()),
            ("Content-Length", length.to_string().into()),
            ("Cache-Control", cache.into()),
        ];
        let mut answer = Self::new(200, headers.into_iter().chain(coding).chain(vary));
        answer.pieces = file.pieces;
        Ok(answer)
    }

    /// As it is given to whoever asked for the head alone.
    pub(super) fn without_body(mut self) -> Self {
        self.pieces.clear();
        self
    }
}

/// The lines of a playlist repeat each other: little effort makes them a tenth.
fn gzip(pieces: &[Bytes]) -> std::io::Result<Bytes> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        out.write_all(piece)?;
    }
    out.finish().map(Bytes::from)
}
