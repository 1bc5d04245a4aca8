/**
 * The meeting with people made up in the browser, for working on its looks without a server: `npm run dev`, then
 * `/demo.html?people=5`. Not part of the build.
 */
import { ConnectionState, Room, RoomEvent } from "livekit-client";
import { createRoot } from "react-dom/client";
import { LeftPage } from "../pages/LeftPage";
import { MeetingPage } from "../pages/MeetingPage";
import "../ui/tokens.css";
import "../ui/base.css";

// The client library constructs a receiver for people it makes up, which browsers forbid.
window.RTCRtpReceiver = function Receiver() {} as unknown as typeof RTCRtpReceiver;

const wish = new URLSearchParams(location.search);
const room = new Room();
const root = createRoot(document.getElementById("root") as HTMLElement);

if (wish.has("left")) {
  root.render(<LeftPage reason={Number(wish.get("left"))} room="quiet-river-4821" onRejoin={() => undefined} onHome={() => undefined} />);
} else {
  await room.simulateParticipants({
    publish: { audio: false, video: wish.get("me") !== "off", useRealTracks: true },
    participants: { count: Number(wish.get("people") ?? 5), audio: true, video: wish.get("video") !== "off" },
  });
  Object.assign(window, { room });
  root.render(<MeetingPage room={room} name={wish.get("room") ?? "quiet-river-4821"} onLeft={() => root.render(<p>left</p>)} />);
  if (wish.has("reconnecting")) {
    setTimeout(() => {
      room.state = ConnectionState.Reconnecting;
      room.emit(RoomEvent.ConnectionStateChanged, ConnectionState.Reconnecting);
    }, 500);
  }
}
