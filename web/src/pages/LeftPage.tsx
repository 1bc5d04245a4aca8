import type { DisconnectReason } from "livekit-client";
import { useEffect, useRef } from "react";
import { farewell } from "../meeting/words";
import { Button } from "../ui/Button";
import { Logo } from "../ui/Logo";
import "./left.css";

interface LeftProps {
  reason: DisconnectReason | undefined;
  room: string;
  onRejoin: () => void;
  onHome: () => void;
}

/** After the meeting: why it is over, and the way back. */
export function LeftPage({ reason, room, onRejoin, onHome }: LeftProps) {
  const said = farewell(reason);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <main className="left">
      <Logo size={44} />
      <h1 ref={heading} tabIndex={-1}>
        {said.title}
      </h1>
      <p>{said.detail ?? `The room “${room}” stays open for whoever is still in it.`}</p>
      <div className="left-ways">
        <Button tone="accent" onClick={onRejoin}>
          Join again
        </Button>
        <Button onClick={onHome}>New meeting</Button>
      </div>
    </main>
  );
}
