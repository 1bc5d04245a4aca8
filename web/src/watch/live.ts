/** What the server says of its live streams: `GET /api/v1/watch`. */

import { useEffect, useState } from "react";
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

const fetchLive = (signal?: AbortSignal) => fetch("/api/v1/watch", { cache: "no-store", ...(signal && { signal }) });

/** The first answer, which the page asks for before it knows what to do with it. */
let first: Promise<Response> | undefined;

export function askEarly(): void {
  first = fetchLive();
  // Whoever takes it hears of it.
  first.catch(() => undefined);
}

async function ask(signal: AbortSignal): Promise<Asked> {
  const early = first;
  first = undefined;
  const answer = await (early ?? fetchLive(signal));
  if (answer.status === 404) return { at: "off" };
  if (!answer.ok) return { at: "unreachable" };
  return { at: "answered", live: (await answer.json()) as Live, when: Date.now() };
}

/** Asks once, and again every `everyMs` if that is given, or while the server cannot be reached. */
export function useLive(everyMs?: number): Asked {
  const [asked, setAsked] = useState<Asked>({ at: "asking" });
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turn = async () => {
      const found = await ask(stop.signal).catch((): Asked => ({ at: "unreachable" }));
      if (stop.signal.aborted) return;
      setAsked(found);
      const wait = found.at === "unreachable" ? RETRY_MS : everyMs;
      if (wait !== undefined) timer = setTimeout(() => void turn(), wait);
    };
    void turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [everyMs]);
  return asked;
}

const RETRY_MS = 2000;

/** `3 min`, `2 h 05 min`. */
export function agoText(ms: number): string {
  const minutes = Math.floor(Math.max(0, ms) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
