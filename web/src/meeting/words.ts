import { ConnectionError, ConnectionErrorReason, DisconnectReason } from "livekit-client";
import { GuestRefused } from "../api/guest";

/** What the page says about states and failures that the protocol has numbers for. */

export interface Said {
  title: string;
  detail?: string;
}

/** Why joining failed. */
export function joinFailure(error: unknown): Said {
  const title = "You could not join";
  if (error instanceof GuestRefused) return { title, detail: error.message };
  if (error instanceof ConnectionError) {
    switch (error.reason) {
      case ConnectionErrorReason.NotAllowed:
        return { title, detail: "The server did not accept your invitation. Reload the page and try again." };
      case ConnectionErrorReason.ServerUnreachable:
      case ConnectionErrorReason.WebSocket:
        return { title, detail: "The server does not answer. Check your connection and try again." };
      case ConnectionErrorReason.Timeout:
        return { title, detail: "The server took too long to answer. Try again in a moment." };
      case ConnectionErrorReason.LeaveRequest:
        return { title, detail: farewell(error.context as DisconnectReason | undefined).detail ?? "The server turned you away." };
      case ConnectionErrorReason.Cancelled:
        return { title, detail: "Joining was interrupted." };
      default:
        break;
    }
    if (/pc connection|peer ?connection|ice/i.test(error.message)) {
      return {
        title,
        detail: "The server was reached, but sound and picture found no way to it. A firewall may be blocking UDP.",
      };
    }
  }
  return { title, detail: "Something went wrong between this page and the server. Try again." };
}

/** Why somebody is no longer in the meeting. */
export function farewell(reason: DisconnectReason | undefined): Said {
  switch (reason) {
    case undefined:
    case DisconnectReason.CLIENT_INITIATED:
      return { title: "You left the meeting" };
    case DisconnectReason.DUPLICATE_IDENTITY:
      return { title: "You joined from somewhere else", detail: "This window was disconnected because you are in the meeting in another one." };
    case DisconnectReason.SERVER_SHUTDOWN:
      return { title: "The server is shutting down", detail: "The meeting ended for everyone. You can join again once the server is back." };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { title: "You were removed", detail: "Somebody took you out of the meeting." };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { title: "The meeting ended", detail: "The room was closed." };
    case DisconnectReason.JOIN_FAILURE:
      return { title: "You could not join", detail: "The room is full, or the server could not let you in." };
    default:
      return { title: "The connection was lost", detail: "The server could not be reached any more. Check your connection, then join again." };
  }
}
