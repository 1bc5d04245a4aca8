//! Attributes of an RTP section.

use rtp::{Rid, Ssrc};

use super::{Limits, Outcome, bounded, is_token, malformed, payload_type};
use crate::{
    Direction, Extension, Extmap, Feedback, Msid, RidLine, RidRef, Rtp, Simulcast, SsrcGroup, SsrcLine, Way,
};

/// Reads an attribute of the section's RTP; false if it is not one.
pub(super) fn attribute(rtp: &mut Rtp, name: &str, value: Option<&str>, limits: &Limits) -> Outcome<bool> {
    let Some(value) = value else {
        match name {
            "rtcp-mux" => rtp.rtcp_mux = true,
            "rtcp-rsize" => rtp.rtcp_rsize = true,
            "extmap-allow-mixed" => rtp.extmap_allow_mixed = true,
            _ => return Ok(false),
        }
        return Ok(true);
    };
    match name {
        "rtpmap" => rtpmap(rtp, value)?,
        "fmtp" => {
            let (pt, parameters) = value.trim().split_once(' ').ok_or(malformed("fmtp"))?;
            let pt = payload_type(pt).ok_or(malformed("fmtp"))?;
            if let Some(payload) = rtp.payloads.iter_mut().find(|payload| payload.pt == pt) {
                payload.fmtp.0 = parameters.trim().into();
            }
        }
        "rtcp-fb" => feedback(rtp, value, limits)?,
        "extmap" => {
            if let Some(extmap) = extmap(value)? {
                bounded(&mut rtp.extensions, extmap, limits, "extensions")?;
            }
        }
        "msid" => {
            let msid = Msid::parse(value).ok_or(malformed("msid"))?;
            bounded(&mut rtp.msids, msid, limits, "msids")?;
        }
        "ssrc" => ssrc(rtp, value, limits)?,
        "ssrc-group" => {
            let mut words = value.split_ascii_whitespace();
            let semantics = words.next().ok_or(malformed("ssrc-group"))?.into();
            let ssrcs: Option<Vec<Ssrc>> = words.map(|word| word.parse().ok().map(Ssrc)).collect();
            let ssrcs = ssrcs.ok_or(malformed("ssrc-group"))?;
            bounded(&mut rtp.ssrc_groups, SsrcGroup { semantics, ssrcs }, limits, "SSRC groups")?;
        }
        "rid" => {
            let line = rid_line(value).ok_or(malformed("rid"))?;
            bounded(&mut rtp.rids, line, limits, "rids")?;
        }
        "simulcast" => rtp.simulcast = Some(simulcast(value, limits)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn rtpmap(rtp: &mut Rtp, value: &str) -> Outcome {
    let bad = malformed("rtpmap");
    let (pt, encoding) = value.trim().split_once(' ').ok_or(bad)?;
    let pt = payload_type(pt).ok_or(bad)?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next().filter(|name| is_token(name)).ok_or(bad)?;
    let clock_rate = parts.next().and_then(|rate| rate.parse().ok()).ok_or(bad)?;
    let channels = parts.next().map(|channels| channels.parse().map_err(|_| bad)).transpose()?;
    if let Some(payload) = rtp.payloads.iter_mut().find(|payload| payload.pt == pt) {
        payload.name = name.into();
        payload.clock_rate = clock_rate;
        payload.channels = channels;
    }
    Ok(())
}

fn feedback(rtp: &mut Rtp, value: &str, limits: &Limits) -> Outcome {
    let (pt, text) = value.trim().split_once(' ').ok_or(malformed("rtcp-fb"))?;
    let all = pt == "*";
    let pt = if all { None } else { Some(payload_type(pt).ok_or(malformed("rtcp-fb"))?) };
    let feedback = Feedback::from_text(text.trim());
    for payload in &mut rtp.payloads {
        let meant = pt.is_none_or(|pt| payload.pt == pt);
        if meant && !payload.feedback.contains(&feedback) {
            // Text of unbounded length is not multiplied by the wildcard.
            if all && matches!(feedback, Feedback::Other(_)) {
                continue;
            }
            bounded(&mut payload.feedback, feedback.clone(), limits, "feedback types")?;
        }
    }
    Ok(())
}

fn extmap(value: &str) -> Outcome<Option<Extmap>> {
    let bad = malformed("extmap");
    let mut words = value.split_ascii_whitespace();
    let id = words.next().ok_or(bad)?;
    let uri = words.next().ok_or(bad)?;
    let (id, direction) = match id.split_once('/') {
        Some((id, direction)) => (id, Some(Direction::from_name(direction).ok_or(bad)?)),
        None => (id, None),
    };
    match id.parse::<u32>() {
        Ok(0) | Err(_) => Err(bad),
        // 4096 and up ask for an id to be chosen (RFC 8285 section 5): nothing that is used in WebRTC.
        Ok(id) => {
            Ok(u8::try_from(id).ok().map(|id| Extmap { id, direction, extension: Extension::from_uri(uri) }))
        }
    }
}

fn ssrc(rtp: &mut Rtp, value: &str, limits: &Limits) -> Outcome {
    let (number, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    let ssrc = Ssrc(number.parse().map_err(|_| malformed("ssrc"))?);
    let at = match rtp.ssrcs.iter().position(|line| line.ssrc == ssrc) {
        Some(at) => at,
        None => {
            bounded(&mut rtp.ssrcs, SsrcLine { ssrc, ..SsrcLine::default() }, limits, "SSRCs")?;
            rtp.ssrcs.len() - 1
        }
    };
    if let Some(line) = rtp.ssrcs.get_mut(at) {
        match rest.split_once(':') {
            Some(("cname", cname)) => line.cname = Some(cname.trim().into()),
            Some(("msid", msid)) => line.msid = Msid::parse(msid),
            _ => {}
        }
    }
    Ok(())
}

/// A rid, of which some clients repeat the `~` of the simulcast line.
fn rid(word: &str) -> Option<RidRef> {
    let (name, paused) = match word.strip_prefix('~') {
        Some(name) => (name, true),
        None => (word, false),
    };
    Rid::new(name).map(|rid| RidRef { rid, paused })
}

fn rid_line(value: &str) -> Option<RidLine> {
    let mut words = value.split_ascii_whitespace();
    let rid = rid(words.next()?)?.rid;
    let way = Way::from_name(words.next()?)?;
    Some(RidLine { rid, way, restrictions: words.next().map(Into::into) })
}

fn simulcast(value: &str, limits: &Limits) -> Outcome<Simulcast> {
    let bad = malformed("simulcast");
    let mut simulcast = Simulcast::default();
    let mut words = value.split_ascii_whitespace();
    while let Some(way) = words.next() {
        let list = words.next().ok_or(bad)?;
        // Before RFC 8853 the list began with "rid=".
        let list = list.strip_prefix("rid=").unwrap_or(list);
        let streams = match Way::from_name(way).ok_or(bad)? {
            Way::Send => &mut simulcast.send,
            Way::Recv => &mut simulcast.recv,
        };
        for stream in list.split(';') {
            let any: Option<Vec<RidRef>> = stream.split(',').map(rid).collect();
            bounded(streams, any.ok_or(bad)?, limits, "simulcast streams")?;
        }
    }
    if simulcast == Simulcast::default() {
        return Err(bad);
    }
    Ok(simulcast)
}
