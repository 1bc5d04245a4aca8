import { useLocalParticipant, useMediaDeviceSelect } from "@livekit/components-react";
import { ChevronUp, MessageSquare, Mic, MicOff, PhoneOff, ScreenShare, ScreenShareOff, Video, VideoOff } from "lucide-react";
import { canShareScreen } from "../lobby/devices";
import { keepPreferences } from "../lobby/preferences";
import { IconButton } from "../ui/Button";
import { ChoiceMenu, type MenuGroup } from "../ui/Menu";
import type { Switches } from "./useSwitches";
import "./controls.css";

interface ControlsProps {
  switches: Switches;
  chatOpen: boolean;
  unread: number;
  onChat: () => void;
  onLeave: () => void;
}

/** The bar at the bottom. */
export function Controls({ switches, chatOpen, unread, onChat, onLeave }: ControlsProps) {
  const { isMicrophoneEnabled: mic, isCameraEnabled: camera, isScreenShareEnabled: sharing } = useLocalParticipant();
  return (
    <div className="controls" role="toolbar" aria-label="Meeting controls">
      <div className="controls-pair">
        <IconButton
          size="l"
          tone={mic ? "quiet" : "off"}
          label={mic ? "Mute" : "Unmute"}
          title={mic ? "Mute (Ctrl+D)" : "Unmute (Ctrl+D)"}
          aria-keyshortcuts="Control+D"
          disabled={switches.busy === "mic"}
          onClick={switches.toggleMic}
        >
          {mic ? <Mic /> : <MicOff />}
        </IconButton>
        <DeviceMenu label="Choose microphone and speaker" kinds={SOUND} />
      </div>
      <div className="controls-pair">
        <IconButton
          size="l"
          tone={camera ? "quiet" : "off"}
          label={camera ? "Turn camera off" : "Turn camera on"}
          title={camera ? "Turn camera off (Ctrl+E)" : "Turn camera on (Ctrl+E)"}
          aria-keyshortcuts="Control+E"
          disabled={switches.busy === "camera"}
          onClick={switches.toggleCamera}
        >
          {camera ? <Video /> : <VideoOff />}
        </IconButton>
        <DeviceMenu label="Choose camera" kinds={PICTURE} />
      </div>
      {canShareScreen() && (
        <IconButton
          size="l"
          label={sharing ? "Stop sharing your screen" : "Share your screen"}
          aria-pressed={sharing}
          disabled={switches.busy === "screen"}
          onClick={switches.toggleScreen}
        >
          {sharing ? <ScreenShareOff /> : <ScreenShare />}
        </IconButton>
      )}
      <IconButton size="l" label="Chat" aria-pressed={chatOpen} badge={unread} onClick={onChat}>
        <MessageSquare />
      </IconButton>
      <IconButton size="l" tone="danger" className="controls-leave" label="Leave the meeting" onClick={onLeave}>
        <PhoneOff />
      </IconButton>
    </div>
  );
}

const SOUND = ["audioinput", "audiooutput"] as const;
const PICTURE = ["videoinput"] as const;

const KIND = {
  audioinput: { title: "Microphone", preference: "micId" },
  audiooutput: { title: "Speaker", preference: "speakerId" },
  videoinput: { title: "Camera", preference: "cameraId" },
} as const;

function DeviceMenu({ label, kinds }: { label: string; kinds: readonly (keyof typeof KIND)[] }) {
  const first = useDeviceGroup(kinds[0] ?? "audioinput");
  const second = useDeviceGroup(kinds[1] ?? kinds[0] ?? "audioinput");
  const groups = kinds.length > 1 ? [first, ...(second.options.length > 0 ? [second] : [])] : [first];
  return <ChoiceMenu className="controls-device" label={label} groups={groups} trigger={<ChevronUp size={16} />} />;
}

function useDeviceGroup(kind: keyof typeof KIND): MenuGroup {
  const { devices, activeDeviceId, setActiveMediaDevice } = useMediaDeviceSelect({ kind });
  const { title, preference } = KIND[kind];
  return {
    title,
    options: devices
      .filter((device) => device.deviceId !== "")
      .map((device) => ({ id: device.deviceId, label: device.label || `Default ${title.toLowerCase()}` })),
    chosen: activeDeviceId,
    onChoose: (id) => {
      keepPreferences({ [preference]: id });
      void setActiveMediaDevice(id);
    },
  };
}
