import { useEffect, useMemo, useState } from "react";
import { ANY_DEVICE } from "./preferences";

/** Why a camera or microphone could not be opened. */
export type DeviceFault = "insecure" | "denied" | "missing" | "busy" | "failed";

/** Browsers hide cameras and microphones from pages that did not come over HTTPS or from this machine. */
export const canCapture = (): boolean => typeof navigator !== "undefined" && navigator.mediaDevices?.getUserMedia !== undefined;

export const canShareScreen = (): boolean =>
  typeof navigator !== "undefined" && navigator.mediaDevices?.getDisplayMedia !== undefined;

export function faultOf(error: unknown): DeviceFault {
  switch ((error as { name?: unknown } | null)?.name) {
    case "NotAllowedError":
    case "PermissionDeniedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "DevicesNotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "TrackStartError":
    case "AbortError":
      return "busy";
    default:
      return "failed";
  }
}

/** The words for a fault, for somebody who has never heard of a media stream. */
export function faultInWords(fault: DeviceFault, device: "camera" | "microphone"): string {
  switch (fault) {
    case "insecure":
      return `Browsers allow a ${device} only on secure pages. Open this page over HTTPS, or on the computer that runs the server.`;
    case "denied":
      return `The browser was told not to use the ${device}. Allow it next to the address bar, then try again.`;
    case "missing":
      return `No ${device} was found. Plug one in, or join without.`;
    case "busy":
      return `Another program is using the ${device}. Close it and try again.`;
    case "failed":
      return `The ${device} could not be started.`;
  }
}

/** The devices of one kind, kept up to date. `refresh` is anything that changes when permission may have been given. */
export function useDevices(kind: MediaDeviceKind, refresh: unknown): { value: string; label: string }[] {
  const [devices, setDevices] = useState<MediaDeviceInfo[]>([]);
  useEffect(() => {
    const media = canCapture() ? navigator.mediaDevices : undefined;
    if (!media) return undefined;
    let wanted = true;
    const read = () =>
      media.enumerateDevices().then(
        (all) => {
          if (wanted) setDevices(all.filter((device) => device.kind === kind));
        },
        () => undefined,
      );
    void read();
    media.addEventListener("devicechange", read);
    return () => {
      wanted = false;
      media.removeEventListener("devicechange", read);
    };
  }, [kind, refresh]);
  return useMemo(() => optionsOf(devices, kind), [devices, kind]);
}

/** Devices as choices. Before permission is given browsers return nameless ones, which cannot be chosen among. */
export function optionsOf(devices: Pick<MediaDeviceInfo, "deviceId" | "label">[], kind: MediaDeviceKind): { value: string; label: string }[] {
  const named = devices.filter((device) => device.deviceId !== "" && device.label !== "");
  const options = named.map(({ deviceId, label }) => ({ value: deviceId, label: cleanLabel(label) }));
  if (!options.some((option) => option.value === ANY_DEVICE)) {
    options.unshift({ value: ANY_DEVICE, label: `Default ${DEVICE_WORD[kind]}` });
  }
  return options;
}

const DEVICE_WORD: Record<MediaDeviceKind, string> = {
  audioinput: "microphone",
  audiooutput: "speaker",
  videoinput: "camera",
};

/** Chromium appends the USB vendor and product number, which tell nobody anything. */
function cleanLabel(label: string): string {
  return label.replace(/\s*\([0-9a-f]{4}:[0-9a-f]{4}\)\s*$/i, "");
}
