import { useIsMuted, useIsSpeaking, useParticipantInfo, useParticipants } from "@livekit/components-react";
import { type Participant, Track } from "livekit-client";
import { Mic, MicOff, Video, VideoOff } from "lucide-react";
import { Avatar } from "../ui/Avatar";
import { InviteButton } from "./Invite";
import { Panel } from "./Panel";
import "./people.css";

export function People({ room, onClose }: { room: string; onClose: () => void }) {
  const people = useParticipants();
  return (
    <Panel title={`People (${people.length})`} onClose={onClose}>
      <ul className="people">
        {people.map((participant) => (
          <Person key={participant.identity} participant={participant} />
        ))}
      </ul>
      <div className="people-invite">
        <InviteButton room={room} wide />
      </div>
    </Panel>
  );
}

function Person({ participant }: { participant: Participant }) {
  const { name, identity } = useParticipantInfo({ participant });
  const silent = useIsMuted({ participant, source: Track.Source.Microphone });
  const unseen = useIsMuted({ participant, source: Track.Source.Camera });
  const speaking = useIsSpeaking(participant);
  const shown = name || identity || "Guest";
  return (
    <li className={speaking ? "person person-speaking" : "person"}>
      <Avatar name={shown} size="s" />
      <span className="person-name">
        {shown}
        {participant.isLocal && <small> (you)</small>}
      </span>
      {silent ? <MicOff role="img" aria-label="Microphone off" className="person-off" /> : <Mic role="img" aria-label="Microphone on" />}
      {unseen ? <VideoOff role="img" aria-label="Camera off" className="person-off" /> : <Video role="img" aria-label="Camera on" />}
    </li>
  );
}
