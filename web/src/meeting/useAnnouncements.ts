import { useRoomContext } from "@livekit/components-react";
import { type Participant, RoomEvent } from "livekit-client";
import { useEffect } from "react";
import { faultInWords, faultOf } from "../lobby/devices";
import { useTell } from "../ui/Toasts";

export const nameOf = (participant: Participant | undefined): string => participant?.name || participant?.identity || "Somebody";

/** More people than this come and go without a word for each. */
const CROWD = 12;

/** Says who comes and goes, and what goes wrong with devices. */
export function useAnnouncements(): void {
  const room = useRoomContext();
  const tell = useTell();
  useEffect(() => {
    const few = () => room.remoteParticipants.size <= CROWD;
    const came = (who: Participant) => few() && tell(`${nameOf(who)} joined`);
    const went = (who: Participant) => few() && tell(`${nameOf(who)} left`);
    const fault = (error: Error, kind?: MediaDeviceKind) =>
      tell(faultInWords(faultOf(error), kind === "videoinput" ? "camera" : "microphone"), "error");
    const back = () => tell("You are connected again");
    room
      .on(RoomEvent.ParticipantConnected, came)
      .on(RoomEvent.ParticipantDisconnected, went)
      .on(RoomEvent.MediaDevicesError, fault)
      .on(RoomEvent.Reconnected, back);
    return () => {
      room
        .off(RoomEvent.ParticipantConnected, came)
        .off(RoomEvent.ParticipantDisconnected, went)
        .off(RoomEvent.MediaDevicesError, fault)
        .off(RoomEvent.Reconnected, back);
    };
  }, [room, tell]);
}
