import { RoomAudioRenderer, RoomContext, useAudioPlayback, useChat, useConnectionState, useParticipants } from "@livekit/components-react";
import { ConnectionState, type DisconnectReason, type Room, RoomEvent } from "livekit-client";
import { LoaderCircle, Users, Volume2 } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { Chat } from "../meeting/Chat";
import { Controls } from "../meeting/Controls";
import { InviteButton } from "../meeting/Invite";
import { People } from "../meeting/People";
import { Stage } from "../meeting/Stage";
import { nameOf, useAnnouncements } from "../meeting/useAnnouncements";
import { useSwitches } from "../meeting/useSwitches";
import { Button } from "../ui/Button";
import { Logo } from "../ui/Logo";
import { ToastArea, useTell } from "../ui/Toasts";
import "./meeting.css";

interface MeetingProps {
  /** Connected already: whoever cannot get in stays in the lobby. */
  room: Room;
  name: string;
  onLeft: (reason: DisconnectReason | undefined) => void;
}

export function MeetingPage({ room, name, onLeft }: MeetingProps) {
  useEffect(() => {
    room.on(RoomEvent.Disconnected, onLeft);
    return () => {
      room.off(RoomEvent.Disconnected, onLeft);
    };
  }, [room, onLeft]);
  return (
    <RoomContext.Provider value={room}>
      <ToastArea>
        <Meeting room={room} name={name} />
      </ToastArea>
      <RoomAudioRenderer />
    </RoomContext.Provider>
  );
}

type Side = "chat" | "people" | undefined;

function Meeting({ room, name }: Omit<MeetingProps, "onLeft">) {
  const [side, setSide] = useState<Side>();
  const switches = useSwitches();
  const { chatMessages, send } = useChat();
  const unread = useUnread(chatMessages, side === "chat");
  useAnnouncements();
  const close = useCallback(() => setSide(undefined), []);
  const toggle = (which: Side) => setSide(side === which ? undefined : which);

  return (
    <main className="meeting">
      <TopBar name={name} peopleOpen={side === "people"} onPeople={() => toggle("people")} />
      <div className="meeting-middle">
        <Stage />
        {side === "chat" && <Chat messages={chatMessages} send={send} onClose={close} />}
        {side === "people" && <People room={name} onClose={close} />}
        <ConnectionNote />
        <SoundPrompt room={room} />
        <AloneNote name={name} />
      </div>
      <Controls
        switches={switches}
        chatOpen={side === "chat"}
        unread={unread}
        onChat={() => toggle("chat")}
        onLeave={() => void room.disconnect()}
      />
    </main>
  );
}

function TopBar({ name, peopleOpen, onPeople }: { name: string; peopleOpen: boolean; onPeople: () => void }) {
  const people = useParticipants();
  return (
    <header className="top-bar">
      <Logo size={30} />
      <h1 title={name}>{name}</h1>
      <InviteButton room={name} />
      <Button icon={<Users aria-hidden />} aria-pressed={peopleOpen} aria-label={`People, ${people.length} here`} onClick={onPeople}>
        {people.length}
      </Button>
    </header>
  );
}

/** Somebody who is first wants to know how the others get here. */
function AloneNote({ name }: { name: string }) {
  const alone = useParticipants().length < 2;
  const connected = useConnectionState() === ConnectionState.Connected;
  if (!alone || !connected) return null;
  return (
    <div className="alone-note">
      <p>Nobody else is here yet. Send the link to whoever you want to meet.</p>
      <InviteButton room={name} />
    </div>
  );
}

/** What the connection is doing when it is not simply there. */
function ConnectionNote() {
  const state = useConnectionState();
  const words = {
    [ConnectionState.Connecting]: "Connecting…",
    [ConnectionState.Reconnecting]: "The connection was lost. Getting you back in…",
    [ConnectionState.SignalReconnecting]: "The connection is unsteady. Sound and picture go on while it is repaired…",
    [ConnectionState.Connected]: undefined,
    [ConnectionState.Disconnected]: undefined,
  }[state];
  return (
    <div className="connection-notes" role="status" aria-live="assertive">
      {words && (
        <div className="connection-note">
          <LoaderCircle className="spin" aria-hidden />
          {words}
        </div>
      )}
    </div>
  );
}

/** Browsers play no sound until the page was clicked. */
function SoundPrompt({ room }: { room: Room }) {
  const { canPlayAudio, startAudio } = useAudioPlayback(room);
  if (canPlayAudio) return null;
  return (
    <div className="sound-prompt">
      <Button tone="accent" icon={<Volume2 aria-hidden />} onClick={() => void startAudio()}>
        Turn on sound
      </Button>
    </div>
  );
}

/** Messages that came while the chat was closed. The newest is also said in a toast. */
function useUnread(messages: ReturnType<typeof useChat>["chatMessages"], reading: boolean): number {
  const [seen, setSeen] = useState(0);
  const tell = useTell();
  const count = messages.length;
  const newest = messages[count - 1];
  useEffect(() => {
    if (reading) setSeen(count);
    else if (newest && newest.from && !newest.from.isLocal) tell(`${nameOf(newest.from)}: ${newest.message.slice(0, 120)}`);
    // Closing the chat is no reason to announce what was just read.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [count]);
  useEffect(() => {
    if (reading) setSeen(count);
  }, [reading, count]);
  return reading ? 0 : count - seen;
}
