//! From values to text, in the order of lines that browsers use.

use std::fmt::{self, Write as _};

use crate::{Alternatives, Attribute, Payload, RidRef, Rtp, Section, Session, Transport, Way};

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Lines { text: String::new() };
        session(&mut out, self);
        f.write_str(&out.text)
    }
}

/// Text under construction. Values may come from signalling, so whatever would end a line is taken out:
/// a value can never become an attribute of its own.
struct Lines {
    text: String,
}

impl Lines {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        let start = self.text.len();
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(line);
        if self.text.bytes().skip(start).any(|b| b.is_ascii_control()) {
            let line = self.text.split_off(start);
            self.text.extend(line.chars().filter(|c| !c.is_control()));
        }
        self.text.push_str("\r\n");
    }

    fn flag(&mut self, set: bool, name: &str) {
        if set {
            self.line(format_args!("a={name}"));
        }
    }

    fn attributes(&mut self, attributes: &[Attribute]) {
        for Attribute { name, value } in attributes {
            match value {
                Some(value) => self.line(format_args!("a={name}:{value}")),
                None => self.line(format_args!("a={name}")),
            }
        }
    }
}

fn session(out: &mut Lines, session: &Session) {
    let origin = &session.origin;
    out.line(format_args!("v=0"));
    out.line(format_args!("o={} {} {} IN IP4 127.0.0.1", origin.username, origin.session_id, origin.version));
    out.line(format_args!("s=-"));
    out.line(format_args!("t=0 0"));
    for group in &session.groups {
        let mids: String = group.mids.iter().map(|mid| format!(" {mid}")).collect();
        out.line(format_args!("a=group:{}{mids}", group.semantics));
    }
    out.flag(session.ice_lite, "ice-lite");
    out.flag(session.extmap_allow_mixed, "extmap-allow-mixed");
    transport(out, &session.transport);
    out.attributes(&session.attributes);
    for each in &session.sections {
        section(out, each);
    }
}

fn section(out: &mut Lines, section: &Section) {
    let formats: String = if section.is_rtp() {
        section.rtp.payloads.iter().map(|payload| format!(" {}", payload.pt.0)).collect()
    } else {
        section.formats.iter().map(|format| format!(" {format}")).collect()
    };
    out.line(format_args!("m={} {} {}{formats}", section.kind.name(), section.port, section.protocol));
    out.line(format_args!("c=IN IP4 0.0.0.0"));
    transport(out, &section.transport);
    if let Some(mid) = section.mid {
        out.line(format_args!("a=mid:{mid}"));
    }
    out.flag(section.bundle_only, "bundle-only");
    out.line(format_args!("a={}", section.direction.name()));
    rtp(out, &section.rtp);
    if let Some(port) = section.data.sctp_port {
        out.line(format_args!("a=sctp-port:{port}"));
    }
    if let Some(size) = section.data.max_message_size {
        out.line(format_args!("a=max-message-size:{size}"));
    }
    out.attributes(&section.attributes);
}

fn transport(out: &mut Lines, transport: &Transport) {
    for candidate in &transport.candidates {
        out.line(format_args!("a={candidate}"));
    }
    out.flag(transport.end_of_candidates, "end-of-candidates");
    if let Some(ice) = &transport.ice {
        out.line(format_args!("a=ice-ufrag:{}", ice.ufrag));
        out.line(format_args!("a=ice-pwd:{}", ice.pwd));
    }
    if !transport.ice_options.is_empty() {
        out.line(format_args!("a=ice-options:{}", transport.ice_options.join(" ")));
    }
    for fingerprint in &transport.fingerprints {
        out.line(format_args!("a=fingerprint:{fingerprint}"));
    }
    if let Some(setup) = transport.setup {
        out.line(format_args!("a=setup:{}", setup.name()));
    }
}

fn rtp(out: &mut Lines, rtp: &Rtp) {
    for extmap in &rtp.extensions {
        let (id, uri) = (extmap.id, extmap.extension.uri());
        match extmap.direction {
            Some(direction) => out.line(format_args!("a=extmap:{id}/{} {uri}", direction.name())),
            None => out.line(format_args!("a=extmap:{id} {uri}")),
        }
    }
    out.flag(rtp.extmap_allow_mixed, "extmap-allow-mixed");
    for msid in &rtp.msids {
        out.line(format_args!("a=msid:{msid}"));
    }
    out.flag(rtp.rtcp_mux, "rtcp-mux");
    out.flag(rtp.rtcp_rsize, "rtcp-rsize");
    for each in &rtp.payloads {
        payload(out, each);
    }
    for line in &rtp.rids {
        let (rid, way) = (line.rid, line.way.name());
        match &line.restrictions {
            Some(restrictions) => out.line(format_args!("a=rid:{rid} {way} {restrictions}")),
            None => out.line(format_args!("a=rid:{rid} {way}")),
        }
    }
    if let Some(simulcast) = &rtp.simulcast {
        let both = [(Way::Send, &simulcast.send), (Way::Recv, &simulcast.recv)];
        let lists: Vec<String> = both
            .into_iter()
            .filter(|(_, streams)| !streams.is_empty())
            .map(|(way, streams)| format!("{} {}", way.name(), streams_text(streams)))
            .collect();
        out.line(format_args!("a=simulcast:{}", lists.join(" ")));
    }
    for group in &rtp.ssrc_groups {
        let ssrcs: String = group.ssrcs.iter().map(|ssrc| format!(" {}", ssrc.0)).collect();
        out.line(format_args!("a=ssrc-group:{}{ssrcs}", group.semantics));
    }
    for line in &rtp.ssrcs {
        let ssrc = line.ssrc.0;
        if line.cname.is_none() && line.msid.is_none() {
            out.line(format_args!("a=ssrc:{ssrc}"));
        }
        if let Some(cname) = &line.cname {
            out.line(format_args!("a=ssrc:{ssrc} cname:{cname}"));
        }
        if let Some(msid) = &line.msid {
            out.line(format_args!("a=ssrc:{ssrc} msid:{msid}"));
        }
    }
}

fn payload(out: &mut Lines, payload: &Payload) {
    let pt = payload.pt.0;
    if !payload.name.is_empty() {
        match payload.channels {
            Some(channels) => {
                out.line(format_args!("a=rtpmap:{pt} {}/{}/{channels}", payload.name, payload.clock_rate));
            }
            None => out.line(format_args!("a=rtpmap:{pt} {}/{}", payload.name, payload.clock_rate)),
        }
    }
    for feedback in &payload.feedback {
        out.line(format_args!("a=rtcp-fb:{pt} {}", feedback.text()));
    }
    if !payload.fmtp.0.is_empty() {
        out.line(format_args!("a=fmtp:{pt} {}", payload.fmtp.0));
    }
}

fn streams_text(streams: &[Alternatives]) -> String {
    let one = |rid: &RidRef| format!("{}{}", if rid.paused { "~" } else { "" }, rid.rid);
    let any = |any: &Alternatives| any.iter().map(one).collect::<Vec<_>>().join(",");
    streams.iter().map(any).collect::<Vec<_>>().join(";")
}
