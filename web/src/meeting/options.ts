import {
  type AudioCaptureOptions,
  type RoomOptions,
  type ScreenShareCaptureOptions,
  type VideoCaptureOptions,
  VideoPresets,
} from "livekit-client";
import { ANY_DEVICE, type Preferences } from "../lobby/preferences";

/** How this page captures, publishes and receives. */

const wanted = (deviceId: string) => (deviceId === ANY_DEVICE ? {} : { deviceId });

export const audioCapture = (deviceId: string): AudioCaptureOptions => ({
  ...wanted(deviceId),
  autoGainControl: true,
  echoCancellation: true,
  noiseSuppression: true,
});

export const videoCapture = (deviceId: string): VideoCaptureOptions => ({
  ...wanted(deviceId),
  resolution: VideoPresets.h720.resolution,
});

export const screenCapture: ScreenShareCaptureOptions = {
  audio: true,
  contentHint: "detail",
  selfBrowserSurface: "exclude",
  surfaceSwitching: "include",
  systemAudio: "include",
};

export const roomOptions = (preferences: Preferences): RoomOptions => ({
  // Tiles that are small or hidden take small layers or nothing, and layers that nobody takes are not encoded.
  adaptiveStream: true,
  dynacast: true,
  audioCaptureDefaults: audioCapture(preferences.micId),
  videoCaptureDefaults: videoCapture(preferences.cameraId),
  ...(preferences.speakerId === ANY_DEVICE ? {} : { audioOutput: { deviceId: preferences.speakerId } }),
});
