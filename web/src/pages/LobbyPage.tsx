import type { LocalVideoTrack, Room } from "livekit-client";
import { Dices, LoaderCircle, Mic, MicOff, Video, VideoOff, Volume2 } from "lucide-react";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { faultInWords, useDevices } from "../lobby/devices";
import { enterRoom } from "../lobby/enter";
import { LevelMeter } from "../lobby/LevelMeter";
import { keepPreferences, type Preferences, readPreferences } from "../lobby/preferences";
import { useCameraPreview, useMicrophonePreview } from "../lobby/usePreview";
import { joinFailure, type Said } from "../meeting/words";
import { MAX_ROOM_NAME, suggestRoom } from "../route";
import { Avatar } from "../ui/Avatar";
import { Button, IconButton } from "../ui/Button";
import { Field, Pick } from "../ui/Field";
import { Logo } from "../ui/Logo";
import { Notice } from "../ui/Notice";
import "./lobby.css";

interface LobbyProps {
  /** The room of the link that was followed, if one was. */
  invitedTo: string | undefined;
  onJoined: (room: Room, name: string) => void;
}

/** Look in the mirror, choose devices, say who you are, go in. */
export function LobbyPage({ invitedTo, onJoined }: LobbyProps) {
  const [preferences, setPreferences] = useState<Preferences>(readPreferences);
  const [roomName, setRoomName] = useState(() => invitedTo ?? suggestRoom());
  const [joining, setJoining] = useState(false);
  const [failure, setFailure] = useState<Said>();
  const [tried, setTried] = useState(false);
  const form = useRef<HTMLFormElement>(null);

  const prefer = (change: Partial<Preferences>) => {
    setPreferences((before) => ({ ...before, ...change }));
    keepPreferences(change);
  };

  const camera = useCameraPreview(preferences.cameraOn, preferences.cameraId);
  const microphone = useMicrophonePreview(preferences.micOn, preferences.micId);
  const name = preferences.name.trim();
  const room = roomName.trim();

  const join = async (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (!name || !room) {
      form.current?.querySelector<HTMLInputElement>(`input[name="${name ? "room" : "name"}"]`)?.focus();
      return;
    }
    setJoining(true);
    setFailure(undefined);
    try {
      const takeTracks = () => ({ audio: microphone.release(), video: camera.release() });
      onJoined(await enterRoom({ room, name, preferences, takeTracks }), room);
    } catch (error) {
      console.error(error);
      setFailure(joinFailure(error));
      setJoining(false);
    }
  };

  return (
    <main className="lobby">
      <header className="lobby-brand">
        <Logo size={34} />
        <span>Millrace</span>
      </header>
      <section className="lobby-mirror" aria-label="Your camera and microphone">
        <div className="mirror">
          <Mirror track={camera.track} on={preferences.cameraOn && !camera.fault} name={name} />
          <div className="mirror-bar">
            <span className="mirror-level">{microphone.track ? <LevelMeter track={microphone.track} /> : "Muted"}</span>
            <IconButton
              size="l"
              tone={preferences.micOn && !microphone.fault ? "quiet" : "off"}
              label={preferences.micOn ? "Turn microphone off" : "Turn microphone on"}
              onClick={() => prefer({ micOn: !preferences.micOn })}
            >
              {preferences.micOn && !microphone.fault ? <Mic /> : <MicOff />}
            </IconButton>
            <IconButton
              size="l"
              tone={preferences.cameraOn && !camera.fault ? "quiet" : "off"}
              label={preferences.cameraOn ? "Turn camera off" : "Turn camera on"}
              onClick={() => prefer({ cameraOn: !preferences.cameraOn })}
            >
              {preferences.cameraOn && !camera.fault ? <Video /> : <VideoOff />}
            </IconButton>
          </div>
        </div>
        <DeviceRow preferences={preferences} prefer={prefer} refresh={`${camera.track?.sid}${microphone.track?.mediaStreamID}`} />
        {microphone.fault && <Notice title="No microphone">{faultInWords(microphone.fault, "microphone")}</Notice>}
        {camera.fault && camera.fault !== microphone.fault && (
          <Notice title="No camera">{faultInWords(camera.fault, "camera")}</Notice>
        )}
      </section>
      <form className="lobby-card" ref={form} onSubmit={join} noValidate>
        <div>
          <h1>{invitedTo ? "Ready to join?" : "Meet face to face"}</h1>
          <p>
            {invitedTo
              ? "Check how you look and sound, then go in."
              : "Pick a room, send its link to others, and talk. Nothing to install, no account."}
          </p>
        </div>
        <Field
          label="Your name"
          name="name"
          autoComplete="name"
          maxLength={64}
          autoFocus={!preferences.name}
          value={preferences.name}
          placeholder="How others will see you"
          problem={tried && !name ? "Say who you are." : undefined}
          onChange={(event) => prefer({ name: event.target.value })}
        />
        <Field
          label="Room"
          name="room"
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={MAX_ROOM_NAME}
          value={roomName}
          placeholder="Any word will do"
          problem={tried && !room ? "Choose a room." : undefined}
          onChange={(event) => setRoomName(event.target.value)}
          trailing={
            invitedTo ? undefined : (
              <IconButton size="s" tone="plain" label="Suggest another room" onClick={() => setRoomName(suggestRoom())}>
                <Dices />
              </IconButton>
            )
          }
        />
        {failure && (
          <Notice tone="error" title={failure.title}>
            {failure.detail}
          </Notice>
        )}
        <Button type="submit" tone="accent" wide disabled={joining} icon={joining ? <LoaderCircle className="spin" /> : undefined}>
          {joining ? "Joining…" : "Join the meeting"}
        </Button>
      </form>
    </main>
  );
}

/** The camera as a mirror shows it. */
function Mirror({ track, on, name }: { track: LocalVideoTrack | undefined; on: boolean; name: string }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const element = video.current;
    if (!track || !element) return undefined;
    track.attach(element);
    return () => void track.detach(element);
  }, [track]);
  if (!on) {
    return (
      <div className="mirror-off">
        <Avatar name={name || "?"} size="fill" />
        <span>Your camera is off</span>
      </div>
    );
  }
  return (
    <>
      {!track && <div className="mirror-off">Starting your camera…</div>}
      <video ref={video} muted playsInline autoPlay hidden={!track} aria-label="Your camera" />
    </>
  );
}

function DeviceRow({
  preferences,
  prefer,
  refresh,
}: {
  preferences: Preferences;
  prefer: (change: Partial<Preferences>) => void;
  refresh: string;
}) {
  const microphones = useDevices("audioinput", refresh);
  const cameras = useDevices("videoinput", refresh);
  const speakers = useDevices("audiooutput", refresh);
  return (
    <div className="device-row">
      <Pick
        label="Microphone"
        icon={<Mic aria-hidden />}
        options={microphones}
        value={preferences.micId}
        onPick={(micId) => prefer({ micId })}
      />
      <Pick
        label="Camera"
        icon={<Video aria-hidden />}
        options={cameras}
        value={preferences.cameraId}
        onPick={(cameraId) => prefer({ cameraId })}
      />
      {speakers.length > 1 && (
        <Pick
          label="Speaker"
          icon={<Volume2 aria-hidden />}
          options={speakers}
          value={preferences.speakerId}
          onPick={(speakerId) => prefer({ speakerId })}
        />
      )}
    </div>
  );
}
