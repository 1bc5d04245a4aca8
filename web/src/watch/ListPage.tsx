import { AudioLines, LoaderCircle, Play, Radio, Users } from "lucide-react";
import { useRef, useState, type FormEvent } from "react";
import { Button } from "../ui/Button";
import { Logo } from "../ui/Logo";
import { Notice } from "../ui/Notice";
import { addresses, streamFromPath, watchPath, type Ports, type Stream } from "./address";
import { bitrateText } from "./health";
import { agoText, type Listed, type Live } from "./live";
import { useThumb } from "./thumb";
import { useLive } from "./useLive";
import "./list.css";

const REFRESH_MS = 3000;

/** What is live, and the way to a stream that is not listed. */
export function ListPage() {
  const asked = useLive(REFRESH_MS);
  return (
    <main className="watch watch-list">
      <header className="watch-head">
        <a className="watch-brand" href="/" aria-label="Meetings">
          <Logo />
          <span>Millrace</span>
        </a>
        <a className="watch-more" href="/">
          Meetings
        </a>
      </header>
      <h1>Live now</h1>
      {asked.at === "asking" && <LoaderCircle className="spin" aria-label="Looking" />}
      {asked.at === "off" && <Notice title="Live streams are switched off on this server.">A section live: in its configuration switches them on.</Notice>}
      {asked.at === "unreachable" && <Notice title="The server cannot be reached.">This page looks again by itself.</Notice>}
      {asked.at === "answered" && <Streams live={asked.live} when={asked.when} />}
    </main>
  );
}

function Streams({ live, when }: { live: Live; when: number }) {
  return (
    <>
      {live.streams === null && (
        <Notice tone="info" title="This server lists no streams.">
          Enter the name of the one that you were invited to.
        </Notice>
      )}
      {live.streams && live.streams.length > 0 && (
        <ul className="live-cards">
          {live.streams.map((stream) => (
            <Card key={`${stream.domain}/${stream.app}/${stream.stream}`} stream={stream} ports={live} when={when} />
          ))}
        </ul>
      )}
      {live.streams?.length === 0 && (
        <div className="live-none">
          <Radio aria-hidden />
          <h2>Nobody is live</h2>
          <p>Publish from OBS or FFmpeg, and it appears here:</p>
          {live.rtmp !== null && <code>{`ffmpeg -re -i film.mp4 -c copy -f flv rtmp://${location.hostname}${live.rtmp === 1935 ? "" : `:${live.rtmp}`}/live/demo`}</code>}
        </div>
      )}
      <Enter />
    </>
  );
}

function Card({ stream, ports, when }: { stream: Listed; ports: Ports; when: number }) {
  const at: Stream = { app: stream.app, stream: stream.stream };
  if (stream.domain !== ports.default_domain) at.domain = stream.domain;
  const art = useRef<HTMLSpanElement>(null);
  const picture = useThumb(stream.height ? addresses(at, ports, location).flv : undefined, art);
  const facts = [
    stream.height ? `${stream.width}×${stream.height}` : undefined,
    stream.codecs.map((codec) => codec.replace(/^H26/, "H.26")).join(" + "),
    stream.bitrate > 0 ? bitrateText(stream.bitrate) : undefined,
  ];
  return (
    <li>
      <a className="live-card" href={watchPath(at)}>
        <span ref={art} className="live-card-art" style={{ "--hue": hue(stream.stream) } as React.CSSProperties}>
          {picture !== undefined && <img src={picture} alt="" />}
          {stream.height || stream.bitrate === 0 ? <Play className="live-card-play" aria-hidden /> : <AudioLines aria-hidden />}
          <em>Live{stream.since !== null && ` · ${agoText(when - stream.since)}`}</em>
        </span>
        <strong>{stream.stream}</strong>
        <small>{facts.filter(Boolean).join(" · ")}</small>
        <small className="live-card-foot">
          <span>{at.domain ? `${at.domain}/${at.app}` : at.app}</span>
          <span>
            <Users aria-hidden /> {stream.players} watching
          </span>
        </small>
      </a>
    </li>
  );
}

/** A colour of its own, the same each time, for as long as there is no picture. */
function hue(name: string): number {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return sum;
}

function Enter() {
  const [name, setName] = useState("");
  const go = (event: FormEvent) => {
    event.preventDefault();
    const parts = name.trim().replace(/^\/+|\/+$/g, "");
    const path = `/watch/${parts.includes("/") ? parts : `live/${parts}`}`;
    if (streamFromPath(path)) location.assign(path);
  };
  return (
    <form className="live-enter" onSubmit={go}>
      <label htmlFor="name">Another stream</label>
      <input id="name" value={name} onChange={(event) => setName(event.target.value)} placeholder="live/demo" autoComplete="off" spellCheck={false} />
      <Button type="submit" tone="accent" disabled={name.trim() === ""}>
        Watch
      </Button>
    </form>
  );
}
