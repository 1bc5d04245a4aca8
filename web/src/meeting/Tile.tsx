import {
  isTrackReference,
  type TrackReferenceOrPlaceholder,
  useConnectionQualityIndicator,
  useIsMuted,
  useIsSpeaking,
  useParticipantInfo,
  VideoTrack,
} from "@livekit/components-react";
import { ConnectionQuality, Track } from "livekit-client";
import { MicOff, Pin, PinOff, ScreenShare, SignalLow } from "lucide-react";
import { Avatar } from "../ui/Avatar";
import { IconButton } from "../ui/Button";
import "./tile.css";

interface TileProps {
  trackRef: TrackReferenceOrPlaceholder;
  pinned: boolean;
  onPin: () => void;
  /** Shown large: the whole picture matters more than a filled tile. */
  large?: boolean;
  style?: React.CSSProperties | undefined;
}

/** One person, or one shared screen. */
export function Tile({ trackRef, pinned, onPin, large = false, style }: TileProps) {
  const { participant, source } = trackRef;
  const screen = source === Track.Source.ScreenShare;
  const speaking = useIsSpeaking(participant) && !screen;
  const silent = useIsMuted({ participant, source: Track.Source.Microphone }) && !screen;
  const hidden = useIsMuted(trackRef);
  const info = useParticipantInfo({ participant });
  const { quality } = useConnectionQualityIndicator({ participant });
  const person = info.name || info.identity || "Guest";
  const label = screen ? `${participant.isLocal ? "Your" : `${person}’s`} screen` : participant.isLocal ? `${person} (you)` : person;
  const shown = isTrackReference(trackRef) && !hidden && (participant.isLocal || trackRef.publication.isSubscribed);
  const weak = quality === ConnectionQuality.Poor || quality === ConnectionQuality.Lost;

  return (
    <article
      className={`tile ${screen ? "tile-screen" : ""} ${large ? "tile-large" : ""} ${speaking ? "tile-speaking" : ""} ${
        participant.isLocal && !screen ? "tile-mirrored" : ""
      }`}
      style={style}
      aria-label={[label, silent && "microphone off", speaking && "speaking"].filter(Boolean).join(", ")}
      data-identity={participant.identity}
      data-source={source}
    >
      {shown ? <VideoTrack trackRef={trackRef} aria-hidden /> : <div className="tile-blank">{screen ? <ScreenShare /> : <Avatar name={person} size="fill" />}</div>}
      <footer className="tile-label">
        {silent && <MicOff className="tile-silent" aria-hidden />}
        {screen && <ScreenShare aria-hidden />}
        <span>{label}</span>
        {weak && <SignalLow className="tile-weak" role="img" aria-label="Weak connection" />}
      </footer>
      <IconButton className="tile-pin" size="s" label={pinned ? `Unpin ${label}` : `Pin ${label}`} aria-pressed={pinned} onClick={onPin}>
        {pinned ? <PinOff /> : <Pin />}
      </IconButton>
    </article>
  );
}
