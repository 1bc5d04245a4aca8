//! What the files of a stream are called.

use std::fmt;

/// What segments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Container {
    /// MPEG transport streams: H.264, H.265, AAC and MP3.
    Ts,
    /// Fragmented MP4: those, AV1, VP9 and Opus.
    Fmp4,
}

impl Container {
    /// Its playlist's name, without what follows the dot.
    fn name(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Fmp4 => "fmp4",
        }
    }

    /// What its segments' names end with.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Fmp4 => "m4s",
        }
    }

    /// What its segments and parts are sent as.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ts => "video/mp2t",
            Self::Fmp4 => "video/mp4",
        }
    }
}

/// One media playlist of a stream, with its segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variant {
    pub container: Container,
    /// Which of the stream's tracks of pictures, where there are several.
    pub rendition: u8,
}

impl Variant {
    /// Of the first track of pictures.
    pub const fn first(container: Container) -> Self {
        Self { container, rendition: 0 }
    }
}

/// A file in a stream's folder. Files of renditions but the first begin with their number: `1-7.m4s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum File {
    /// The multivariant playlist: `index.m3u8`, and any other name that ends so.
    Index,
    /// The media playlist of a variant: `ts.m3u8`, `fmp4.m3u8`, `1-fmp4.m3u8`.
    Playlist(Variant),
    /// What decoders need before segments of fragmented MP4, from that segment on: `init-7.mp4`.
    Init(Variant, u64),
    /// `7.ts`, `7.m4s`
    Segment(Variant, u64),
    /// The fourth part of a segment: `7.3.m4s`
    Part(Variant, u64, usize),
}

impl File {
    /// None if no stream has such a file.
    pub fn parse(name: &str) -> Option<Self> {
        let (rendition, rest) = match name.split_once('-') {
            Some((first, rest)) => {
                match number(first).and_then(|n| u8::try_from(n).ok()).filter(|n| *n > 0) {
                    Some(rendition) => (rendition, rest),
                    None => (0, name),
                }
            }
            None => (0, name),
        };
        let variant = |container| Variant { container, rendition };
        let (stem, extension) = rest.rsplit_once('.')?;
        let container = match extension {
            "m3u8" => {
                let named = [Container::Ts, Container::Fmp4].into_iter().find(|known| known.name() == stem);
                return Some(named.map_or(Self::Index, |container| Self::Playlist(variant(container))));
            }
            "mp4" => return Some(Self::Init(variant(Container::Fmp4), number(stem.strip_prefix("init-")?)?)),
            "m4s" => Container::Fmp4,
            "ts" => Container::Ts,
            _ => return None,
        };
        let variant = variant(container);
        match stem.split_once('.') {
            None => Some(Self::Segment(variant, number(stem)?)),
            Some((segment, part)) => {
                Some(Self::Part(variant, number(segment)?, usize::try_from(number(part)?).ok()?))
            }
        }
    }

    /// The variant it belongs to.
    pub fn variant(self) -> Option<Variant> {
        match self {
            Self::Index => None,
            Self::Playlist(variant)
            | Self::Init(variant, _)
            | Self::Segment(variant, _)
            | Self::Part(variant, ..) => Some(variant),
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Variant { rendition: rendition @ 1.., .. }) = self.variant() {
            write!(f, "{rendition}-")?;
        }
        match self {
            Self::Index => f.write_str("index.m3u8"),
            Self::Playlist(variant) => write!(f, "{}.m3u8", variant.container.name()),
            Self::Init(_, id) => write!(f, "init-{id}.mp4"),
            Self::Segment(variant, sequence) => write!(f, "{sequence}.{}", variant.container.extension()),
            Self::Part(variant, sequence, part) => {
                write!(f, "{sequence}.{part}.{}", variant.container.extension())
            }
        }
    }
}

/// Digits and nothing else: no sign, no leading zeros, so that a file has one name.
pub(crate) fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name() {
        let (ts, fmp4) =
            (Variant::first(Container::Ts), Variant { container: Container::Fmp4, rendition: 3 });
        let files = [
            (File::Index, "index.m3u8"),
            (File::Playlist(ts), "ts.m3u8"),
            (File::Playlist(fmp4), "3-fmp4.m3u8"),
            (File::Init(Variant::first(Container::Fmp4), 7), "init-7.mp4"),
            (File::Init(fmp4, 7), "3-init-7.mp4"),
            (File::Segment(ts, 0), "0.ts"),
            (File::Segment(fmp4, 1_763_700_000), "3-1763700000.m4s"),
            (File::Part(ts, u64::MAX, 0), "18446744073709551615.0.ts"),
            (File::Part(fmp4, 12, 3), "3-12.3.m4s"),
        ];
        for (file, name) in files {
            assert_eq!((file.to_string().as_str(), File::parse(name)), (name, Some(file)));
        }
        assert_eq!(File::parse("anything.m3u8"), Some(File::Index));
        assert_eq!(File::parse("my-show.m3u8"), Some(File::Index));
        for name in [
            "",
            ".ts",
            "-1.ts",
            "+1.ts",
            "01.ts",
            "1.2.3.m4s",
            "1..m4s",
            ".1.m4s",
            "1.m4s.",
            "init-.mp4",
            "init-18446744073709551616.mp4",
            "18446744073709551616.ts",
            "index.m3u",
            "1 .ts",
            "0-1.ts",
            "01-1.ts",
            "256-1.ts",
            "m3u8",
        ] {
            assert_eq!(File::parse(name), None, "{name}");
        }
    }
}
