import { useRoomContext } from "@livekit/components-react";
import { useCallback, useEffect, useMemo, useState } from "react";
import { faultInWords, faultOf } from "../lobby/devices";
import { keepPreferences } from "../lobby/preferences";
import { useTell } from "../ui/Toasts";
import { screenCapture } from "./options";

export interface Switches {
  /** The switch that is being thrown: the browser may be asking for permission. */
  busy: "mic" | "camera" | "screen" | undefined;
  toggleMic: () => void;
  toggleCamera: () => void;
  toggleScreen: () => void;
}

/** Microphone, camera and screen on and off, with what can go wrong said in words. */
export function useSwitches(): Switches {
  const room = useRoomContext();
  const tell = useTell();
  const [busy, setBusy] = useState<Switches["busy"]>();

  const run = useCallback(
    async (which: NonNullable<Switches["busy"]>, action: () => Promise<unknown>, failed: (error: unknown) => string | undefined) => {
      setBusy(which);
      try {
        await action();
      } catch (error) {
        const words = failed(error);
        if (words) tell(words, "error");
      } finally {
        setBusy(undefined);
      }
    },
    [tell],
  );

  const switches = useMemo(() => {
    const me = room.localParticipant;
    return {
      toggleMic: () =>
        void run(
          "mic",
          async () => {
            const micOn = !me.isMicrophoneEnabled;
            await me.setMicrophoneEnabled(micOn);
            keepPreferences({ micOn });
          },
          (error) => faultInWords(faultOf(error), "microphone"),
        ),
      toggleCamera: () =>
        void run(
          "camera",
          async () => {
            const cameraOn = !me.isCameraEnabled;
            await me.setCameraEnabled(cameraOn);
            keepPreferences({ cameraOn });
          },
          (error) => faultInWords(faultOf(error), "camera"),
        ),
      toggleScreen: () =>
        void run(
          "screen",
          () => me.setScreenShareEnabled(!me.isScreenShareEnabled, screenCapture),
          // Closing the browser's own question is an answer, not a failure.
          (error) => (faultOf(error) === "denied" ? undefined : "Your screen could not be shared."),
        ),
    };
  }, [room, run]);

  useShortcuts(switches);
  return useMemo(() => ({ ...switches, busy }), [switches, busy]);
}

/** The keys people know from other meetings. */
function useShortcuts({ toggleMic, toggleCamera }: Pick<Switches, "toggleMic" | "toggleCamera">) {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.repeat) return;
      const action = { KeyD: toggleMic, KeyE: toggleCamera }[event.code];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [toggleMic, toggleCamera]);
}
