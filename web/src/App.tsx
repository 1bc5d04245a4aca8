import type { DisconnectReason, Room } from "livekit-client";
import { useCallback, useEffect, useState } from "react";
import { LeftPage } from "./pages/LeftPage";
import { LobbyPage } from "./pages/LobbyPage";
import { MeetingPage } from "./pages/MeetingPage";
import { roomFromLocation, roomPath } from "./route";

type Place =
  | { at: "lobby"; invitedTo: string | undefined }
  | { at: "meeting"; room: Room; name: string }
  | { at: "left"; name: string; reason: DisconnectReason | undefined };

/** The three places of the page and the ways between them. */
export function App() {
  const [place, setPlace] = useState<Place>(() => ({ at: "lobby", invitedTo: roomFromLocation(location) }));

  useEffect(() => {
    const back = () =>
      setPlace((before) => {
        if (before.at === "meeting") void before.room.disconnect();
        return { at: "lobby", invitedTo: roomFromLocation(location) };
      });
    window.addEventListener("popstate", back);
    return () => window.removeEventListener("popstate", back);
  }, []);

  const joined = useCallback((room: Room, name: string) => {
    const path = roomPath(name);
    if (location.pathname !== path) history.pushState(null, "", path);
    document.title = `${name} · Millrace`;
    setPlace({ at: "meeting", room, name });
  }, []);

  const left = useCallback((reason: DisconnectReason | undefined) => {
    document.title = "Millrace";
    setPlace((before) => (before.at === "meeting" ? { at: "left", name: before.name, reason } : before));
  }, []);

  switch (place.at) {
    case "lobby":
      return <LobbyPage invitedTo={place.invitedTo} onJoined={joined} />;
    case "meeting":
      return <MeetingPage room={place.room} name={place.name} onLeft={left} />;
    case "left":
      return (
        <LeftPage
          reason={place.reason}
          room={place.name}
          onRejoin={() => setPlace({ at: "lobby", invitedTo: place.name })}
          onHome={() => {
            history.pushState(null, "", "/");
            setPlace({ at: "lobby", invitedTo: undefined });
          }}
        />
      );
  }
}
