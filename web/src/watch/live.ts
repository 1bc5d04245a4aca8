/** What the server says of its live streams: `GET /api/v1/watch`. */

import type { Ports } from "./address";

export interface Listed {
  domain: string;
  app: string;
  stream: string;
  since: number | null;
  players: number;
  bitrate: number;
  codecs: string[];
  width?: number;
  height?: number;
}

export interface Live extends Ports {
  /** Not said where guests are not welcome. */
  streams: Listed[] | null;
}

export type Asked = { at: "asking" } | { at: "answered"; live: Live; when: number } | { at: "off" } | { at: "unreachable" };

/** How soon a server that cannot be reached is asked again. */
export const RETRY_MS = 2000;

/** The first answer is on its way with the page already, which preloads it; later ones are not kept by anybody. */
export async function ask(signal: AbortSignal | null = null): Promise<Asked> {
  try {
    const answer = await fetch("/api/v1/watch", { signal });
    if (answer.status === 404) return { at: "off" };
    if (answer.ok) return { at: "answered", live: (await answer.json()) as Live, when: Date.now() };
  } catch {
    // Like an answer that is none.
  }
  return { at: "unreachable" };
}

/** What the server says, however long it cannot be reached; nothing if live streams are off. */
export async function answered(): Promise<Live | undefined> {
  for (;;) {
    const asked = await ask();
    if (asked.at === "answered") return asked.live;
    if (asked.at === "off") return undefined;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

/** `3 min`, `2 h 05 min`. */
export function agoText(ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
