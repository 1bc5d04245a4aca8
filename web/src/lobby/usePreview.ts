import { createLocalAudioTrack, createLocalVideoTrack, type LocalAudioTrack, type LocalVideoTrack } from "livekit-client";
import { useCallback, useEffect, useRef, useState } from "react";
import { audioCapture, videoCapture } from "../meeting/options";
import { canCapture, type DeviceFault, faultOf } from "./devices";

export interface Preview<T> {
  track: T | undefined;
  fault: DeviceFault | undefined;
  /** Give the running track away: leaving the lobby no longer stops it. */
  release: () => T | undefined;
}

export const useCameraPreview = (on: boolean, deviceId: string): Preview<LocalVideoTrack> =>
  usePreview(on, deviceId, openCamera);

export const useMicrophonePreview = (on: boolean, deviceId: string): Preview<LocalAudioTrack> =>
  usePreview(on, deviceId, openMicrophone);

const openCamera = (deviceId: string) => createLocalVideoTrack(videoCapture(deviceId));
const openMicrophone = (deviceId: string) => createLocalAudioTrack(audioCapture(deviceId));

function usePreview<T extends LocalAudioTrack | LocalVideoTrack>(
  on: boolean,
  deviceId: string,
  open: (deviceId: string) => Promise<T>,
): Preview<T> {
  const [track, setTrack] = useState<T>();
  const [fault, setFault] = useState<DeviceFault>();
  const released = useRef<T>(undefined);

  useEffect(() => {
    setFault(undefined);
    if (!on) return undefined;
    if (!canCapture()) {
      setFault("insecure");
      return undefined;
    }
    let wanted = true;
    let mine: T | undefined;
    open(deviceId).then(
      (opened) => {
        if (!wanted) return void opened.stop();
        mine = opened;
        setTrack(opened);
        return undefined;
      },
      (error: unknown) => {
        if (wanted) setFault(faultOf(error));
      },
    );
    return () => {
      wanted = false;
      setTrack(undefined);
      if (mine && mine !== released.current) mine.stop();
    };
  }, [on, deviceId, open]);

  const release = useCallback(() => {
    released.current = track;
    return track;
  }, [track]);

  return { track, fault, release };
}
