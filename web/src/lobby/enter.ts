import { type LocalAudioTrack, type LocalVideoTrack, Room, RoomEvent, Track } from "livekit-client";
import { requestGuestPass } from "../api/guest";
import { roomOptions } from "../meeting/options";
import { signalUrl } from "../route";
import type { Preferences } from "./preferences";

export interface Entrance {
  room: string;
  name: string;
  preferences: Preferences;
  /** Tracks that are already running, so that the camera does not blink. Taken only once the room is entered. */
  takeTracks: () => { audio: LocalAudioTrack | undefined; video: LocalVideoTrack | undefined };
}

/** From a name and a room to a connected room. What is published goes up while the meeting is already on the screen. */
export async function enterRoom({ room: wanted, name, preferences, takeTracks }: Entrance): Promise<Room> {
  const pass = await requestGuestPass({ room: wanted, name });
  const room = new Room(roomOptions(preferences));
  await room.connect(signalUrl(location.origin), pass.token);
  const { audio, video } = takeTracks();
  const me = room.localParticipant;
  const publish = async (track: LocalAudioTrack | LocalVideoTrack | undefined, source: Track.Source) => {
    if (!track) return;
    try {
      await me.publishTrack(track, { source });
    } catch (error) {
      track.stop();
      room.emit(RoomEvent.MediaDevicesError, error as Error, track.kind === Track.Kind.Audio ? "audioinput" : "videoinput");
    }
  };
  void publish(audio, Track.Source.Microphone);
  void publish(video, Track.Source.Camera);
  return room;
}
