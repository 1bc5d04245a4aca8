import { AudioLines, LoaderCircle, Radio, RotateCw, Volume2, Wifi } from "lucide-react";
import { useLayoutEffect, useRef, useSyncExternalStore } from "react";
import { Button } from "../ui/Button";
import { Logo } from "../ui/Logo";
import { streamName } from "./address";
import { AddressList } from "./AddressList";
import { bitrateText, latencyText, waitText } from "./health";
import { plays, type Seen, type Status } from "./show";
import type { Stage } from "./stage";
import { WAY_NAMES, type Way } from "./ways";

/** One stream: the picture, how it comes, and where else it can be had. */
export function WatchPage({ stage }: { stage: Stage }) {
  const { stream, ways } = stage;
  const { at, seen } = useSyncExternalStore(stage.subscribe, stage.staged);
  const { status } = seen;
  const place = useRef<HTMLElement>(null);

  useLayoutEffect(() => {
    document.title = `${stream.stream} · Millrace`;
    if (place.current) stage.enter(place.current);
  }, [stage, stream]);

  return (
    <main className="watch">
      <header className="watch-head">
        <a className="watch-brand" href="/watch" aria-label="All live streams">
          <Logo />
          <span>Millrace</span>
        </a>
        <a className="watch-more" href="/watch">
          <Radio aria-hidden /> What is live
        </a>
      </header>

      <section ref={place} className="watch-stage" data-status={status.at} style={{ "--shape": seen.size?.replace("×", " / ") } as React.CSSProperties}>
        {status.at === "playing" && seen.size === undefined && (
          <div className="watch-cover watch-cover-sound">
            <AudioLines aria-hidden />
            <p>Sound without a picture</p>
          </div>
        )}
        <Cover status={status} way={seen.way} onRetry={() => location.reload()} />
        {seen.silenced && status.at === "playing" && (
          <Button
            tone="accent"
            className="watch-sound"
            icon={<Volume2 aria-hidden />}
            onClick={() => stage.unmute()}
          >
            Turn the sound on
          </Button>
        )}
      </section>

      <section className="watch-title">
        <div>
          <h1>{stream.stream}</h1>
          <p>{streamName(stream)}</p>
        </div>
        <Badge status={status} onEdge={() => stage.toEdge()} />
      </section>

      <Figures seen={seen} playing={plays(status)} />

      {ways.length > 1 && at?.flv && (
        <Choice ways={ways} way={seen.way} onChoose={(way) => stage.choose(way)} />
      )}
      {at && <AddressList at={at} />}
    </main>
  );
}

/** What is said over the picture while there is none. */
function Cover({ status, way, onRetry }: { status: Status; way: Way | undefined; onRetry: () => void }) {
  switch (status.at) {
    case "playing":
      return null;
    case "stalled":
      return (
        <div className="watch-cover watch-cover-thin" role="status">
          <LoaderCircle className="spin" aria-label="Waiting for the stream" />
        </div>
      );
    case "connecting":
      return (
        <div className="watch-cover" role="status">
          <LoaderCircle className="spin" aria-hidden />
          <p>Connecting{way && ` over ${WAY_NAMES[way]}`}…</p>
        </div>
      );
    case "waiting":
      return (
        <div className="watch-cover" role="status">
          <Radio className="pulse" aria-hidden />
          <h2>Not live yet</h2>
          <p>Keep this page open: it starts by itself as soon as somebody publishes.</p>
        </div>
      );
    case "failed":
      return (
        <div className="watch-cover" role="alert">
          <h2>This stream cannot be played here</h2>
          <p>{status.reason}</p>
          <Button icon={<RotateCw aria-hidden />} onClick={onRetry}>
            Try again
          </Button>
        </div>
      );
  }
}

const STATES = { playing: "Live", stalled: "Live", connecting: "Connecting", waiting: "Not live", failed: "Off air" } as const;

function Badge({ status, onEdge }: { status: Status; onEdge: () => void }) {
  const live = plays(status);
  return (
    <button type="button" className="watch-badge" data-live={live} disabled={!live} onClick={onEdge} title="Go to the live edge">
      <i aria-hidden />
      {STATES[status.at]}
    </button>
  );
}

const QUALITY = { good: "Steady", fair: "A little uneven", poor: "Uneven" } as const;

function Figures({ seen, playing }: { seen: Seen; playing: boolean }) {
  const shown = (text: string | undefined) => (playing && text ? text : "–");
  return (
    <dl className="watch-figures">
      <Figure name="Latency" value={shown(latencyText(seen.latency))} note="behind live" />
      <Figure name="Bitrate" value={shown(seen.bitrate === undefined ? undefined : bitrateText(seen.bitrate))} note="received" />
      <Figure name="Picture" value={shown(seen.size ?? "Sound only")} note="resolution" />
      <Figure name="Protocol" value={shown(seen.way && WAY_NAMES[seen.way])} note={seen.firstFrame && playing ? `first ${seen.size ? "picture" : "sound"} in ${waitText(seen.firstFrame)}` : "chosen by itself"} />
      <div className="watch-figure" data-quality={playing ? seen.quality : undefined}>
        <dt>
          <Wifi aria-hidden /> Buffering
        </dt>
        <dd>{shown(QUALITY[seen.quality])}</dd>
        <small>{playing ? `${seen.stalls === 0 ? "no stalls" : seen.stalls === 1 ? "1 stall" : `${seen.stalls} stalls`}, ${seen.ahead.toFixed(1)} s ahead` : "stalls in a minute"}</small>
      </div>
    </dl>
  );
}

function Figure({ name, value, note }: { name: string; value: string; note: string }) {
  return (
    <div className="watch-figure">
      <dt>{name}</dt>
      <dd>{value}</dd>
      <small>{note}</small>
    </div>
  );
}

function Choice({ ways, way, onChoose }: { ways: readonly Way[]; way: Way | undefined; onChoose: (way: Way) => void }) {
  return (
    <div className="watch-choice" role="group" aria-label="Play over">
      {ways.map((each) => (
        <Button key={each} aria-pressed={each === way} onClick={() => onChoose(each)}>
          {WAY_NAMES[each]}
        </Button>
      ))}
    </div>
  );
}
