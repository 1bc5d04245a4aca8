//! What a player reads of a playlist (RFC 8216, rfc8216bis).

/// A segment, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    /// Media sequence number of the segment.
    pub(crate) segment: u64,
    /// Which part of it; none: the segment.
    pub(crate) part: Option<u64>,
    pub(crate) is_independent: bool,
    pub(crate) seconds: f64,
    pub(crate) uri: String,
}

/// One version of a playlist.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Playlist {
    pub(crate) pieces: Vec<Piece>,
    /// Where to ask instead, if this lists playlists.
    pub(crate) variant: Option<String>,
    /// Whether a request may wait for what is not there yet.
    pub(crate) blocks: bool,
    /// Of the segment that is not complete.
    pub(crate) open: u64,
    pub(crate) has_ended: bool,
}

impl Playlist {
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if !text.starts_with("#EXTM3U") {
            return Err("the playlist does not begin with #EXTM3U".into());
        }
        let mut list = Self::default();
        let (mut part, mut seconds, mut is_variant) = (0, None, false);
        for line in text.lines().map(str::trim) {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                list.open = number.parse().unwrap_or(0);
            } else if let Some(attributes) = line.strip_prefix("#EXT-X-SERVER-CONTROL:") {
                list.blocks = attribute(attributes, "CAN-BLOCK-RELOAD") == Some("YES");
            } else if let Some(length) = line.strip_prefix("#EXTINF:") {
                seconds = length.split(',').next().and_then(|length| length.parse().ok());
            } else if let Some(attributes) = line.strip_prefix("#EXT-X-PART:") {
                let Some(uri) = attribute(attributes, "URI") else { continue };
                list.pieces.push(Piece {
                    segment: list.open,
                    part: Some(part),
                    is_independent: attribute(attributes, "INDEPENDENT") == Some("YES"),
                    seconds: attribute(attributes, "DURATION").and_then(|s| s.parse().ok()).unwrap_or(0.0),
                    uri: uri.to_owned(),
                });
                part += 1;
            } else if line.starts_with("#EXT-X-STREAM-INF") {
                is_variant = true;
            } else if line.starts_with("#EXT-X-ENDLIST") {
                list.has_ended = true;
            } else if !line.is_empty() && !line.starts_with('#') {
                if std::mem::take(&mut is_variant) {
                    list.variant.get_or_insert_with(|| line.to_owned());
                    continue;
                }
                let seconds = seconds.take().ok_or("a segment without #EXTINF")?;
                let (segment, uri) = (list.open, line.to_owned());
                list.pieces.push(Piece { segment, part: None, is_independent: true, seconds, uri });
                list.open += 1;
                part = 0;
            }
        }
        Ok(list)
    }
}

/// The value of one attribute of a list, without quotation marks.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.trim_start_matches(','))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// Where an address in a playlist leads to, as the target of a request to the same server.
pub(crate) fn resolve(base: &str, uri: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        return rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned();
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let path = base.split('?').next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{uri}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:12\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.600\n#EXT-X-PART-INF:PART-TARGET=0.200\n\
        #EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2.00000,\n7.ts\n\
        #EXT-X-PART:DURATION=0.20000,URI=\"8.0.ts?a=b,c\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.20000,URI=\"8.1.ts\"\n#EXTINF:0.40000,\n8.ts\n\
        #EXT-X-PART:DURATION=0.20000,URI=\"9.0.ts\",INDEPENDENT=YES\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"9.1.ts\"\n";

    #[test]
    fn segments_and_parts_have_their_numbers() {
        let list = Playlist::read(LOW).unwrap();
        let found: Vec<_> =
            list.pieces.iter().map(|piece| (piece.segment, piece.part, piece.is_independent)).collect();
        let parts =
            [(7, None, true), (8, Some(0), true), (8, Some(1), false), (8, None, true), (9, Some(0), true)];
        assert_eq!(found, parts);
        assert_eq!(list.pieces[1].uri, "8.0.ts?a=b,c");
        assert!(list.blocks && list.open == 9 && !list.has_ended);
        assert!(Playlist::read("<html>").is_err());
        assert!(Playlist::read("#EXTM3U\nno-length.ts\n").is_err());
        let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"a,b\"\nhigh/index.m3u8\n";
        assert_eq!(Playlist::read(master).unwrap().variant.as_deref(), Some("high/index.m3u8"));
    }

    #[test]
    fn addresses_are_relative_to_the_playlist() {
        assert_eq!(resolve("/live/demo/index.m3u8?token=t/u", "7.ts"), "/live/demo/7.ts");
        assert_eq!(resolve("/live/demo.m3u8", "/x/7.ts"), "/x/7.ts");
        assert_eq!(resolve("/live/demo.m3u8", "http://h:80/x/7.ts?t"), "/x/7.ts?t");
    }
}
