import { hueOf, initialsOf } from "./initials";
import "./avatar.css";

/** Who somebody is when there is no picture of them. */
export function Avatar({ name, size }: { name: string; size?: "s" | "fill" }) {
  return (
    <span
      aria-hidden
      className={`avatar ${size ? `avatar-${size}` : ""}`}
      style={{ "--hue": hueOf(name) } as React.CSSProperties}
    >
      {initialsOf(name)}
    </span>
  );
}
