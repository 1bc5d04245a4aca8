import { type TrackReferenceOrPlaceholder, useTracks, useVisualStableUpdate } from "@livekit/components-react";
import { Track } from "livekit-client";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { useState } from "react";
import { IconButton } from "../ui/Button";
import { capacity, gridFor } from "./layout";
import { Tile } from "./Tile";
import { useSize } from "./useSize";
import "./stage.css";

/** Between tiles, in CSS pixels. The same number as `--gap` in stage.css. */
const GAP = 10;

const keyOf = ({ participant, source }: TrackReferenceOrPlaceholder) => `${participant.identity}/${source}`;

/** Everybody in the room: a grid, or one picture large with the others beside it. */
export function Stage() {
  const [pin, setPin] = useState<string>();
  const tracks = useTracks(
    [
      { source: Track.Source.Camera, withPlaceholder: true },
      { source: Track.Source.ScreenShare, withPlaceholder: false },
    ],
    { onlySubscribed: false },
  );
  const focus = tracks.find((track) => keyOf(track) === pin) ?? screenToShow(tracks);
  const togglePin = (track: TrackReferenceOrPlaceholder) => setPin(keyOf(track) === pin ? undefined : keyOf(track));

  if (!focus) return <Grid tracks={tracks} pin={pin} onPin={togglePin} />;
  const others = tracks.filter((track) => track !== focus);
  return (
    <div className="stage stage-focus">
      <Tile large trackRef={focus} pinned={keyOf(focus) === pin} onPin={() => togglePin(focus)} />
      {others.length > 0 && (
        <div className="stage-strip" role="group" aria-label="Everybody else">
          {others.map((track) => (
            <Tile key={keyOf(track)} trackRef={track} pinned={false} onPin={() => togglePin(track)} />
          ))}
        </div>
      )}
    </div>
  );
}

/** A shared screen is what everybody wants to see, the newest one first. One's own is shown when there is no other. */
function screenToShow(tracks: TrackReferenceOrPlaceholder[]): TrackReferenceOrPlaceholder | undefined {
  const screens = tracks.filter((track) => track.source === Track.Source.ScreenShare);
  return screens.findLast((track) => !track.participant.isLocal) ?? screens[0];
}

function Grid({
  tracks,
  pin,
  onPin,
}: {
  tracks: TrackReferenceOrPlaceholder[];
  pin: string | undefined;
  onPin: (track: TrackReferenceOrPlaceholder) => void;
}) {
  const [ref, space] = useSize<HTMLDivElement>();
  const [wantedPage, setPage] = useState(0);
  const perPage = capacity(space, GAP);
  // Whoever speaks is moved to the first page, with as few jumps as possible.
  const ordered = useVisualStableUpdate(tracks, perPage);
  const pages = Math.max(1, Math.ceil(ordered.length / perPage));
  const page = Math.min(wantedPage, pages - 1);
  const visible = ordered.slice(page * perPage, (page + 1) * perPage);
  const grid = gridFor(visible.length, space, GAP);
  const tile = { width: grid.width, height: grid.height };

  return (
    <div className="stage">
      <div className="stage-grid" ref={ref} style={{ "--row": `${grid.columns * (grid.width + GAP) - GAP + 1}px` } as React.CSSProperties}>
        <div className="stage-rows">
          {space.width > 0 &&
            visible.map((track) => (
              <Tile key={keyOf(track)} trackRef={track} style={tile} pinned={keyOf(track) === pin} onPin={() => onPin(track)} />
            ))}
        </div>
      </div>
      {pages > 1 && (
        <nav className="stage-pages" aria-label="Pages of people">
          <IconButton size="s" label="Previous page" disabled={page === 0} onClick={() => setPage(page - 1)}>
            <ChevronLeft />
          </IconButton>
          <span>
            {page + 1} of {pages}
          </span>
          <IconButton size="s" label="Next page" disabled={page === pages - 1} onClick={() => setPage(page + 1)}>
            <ChevronRight />
          </IconButton>
        </nav>
      )}
    </div>
  );
}
