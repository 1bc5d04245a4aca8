/** The ways in which a browser can play a stream, and which comes next when one fails. */

export type Way = "flv" | "ll-hls" | "native";

export const WAY_NAMES: Record<Way, string> = { flv: "HTTP-FLV", "ll-hls": "LL-HLS", native: "HLS" };

export interface Abilities {
  /** Media Source Extensions, also those of iPhones. */
  mse: boolean;
  /** The `video` element plays playlists by itself. */
  nativeHls: boolean;
}

/** Best first: FLV is the fastest; Safari's own player is better at LL-HLS than any script. */
export function waysFor(abilities: Abilities): Way[] {
  const ways: Way[] = [];
  if (abilities.mse) ways.push("flv");
  if (abilities.nativeHls) ways.push("native");
  if (abilities.mse) ways.push("ll-hls");
  return ways;
}

export function abilitiesOf(view: Window & typeof globalThis): Abilities {
  const video = view.document.createElement("video");
  return {
    mse: "MediaSource" in view || "ManagedMediaSource" in view,
    nativeHls: /Apple/.test(view.navigator.vendor) && video.canPlayType("application/vnd.apple.mpegurl") !== "",
  };
}

/** Why a way has failed. */
export type Failure =
  | { kind: "absent" }
  | { kind: "refused"; status: number }
  | { kind: "unsupported"; detail: string }
  | { kind: "broken"; detail: string };

export type Next =
  | { do: "wait"; ms: number }
  | { do: "try"; way: Way; ms: number }
  | { do: "give up"; reason: string };

/** How soon a stream that is not there is asked for again. */
export const RETRY_MS = 1500;
/** How soon the first way is tried again after all have failed. */
export const ROUND_MS = 3000;

/**
 * What to do after `way` has failed; `tried` are the ways that failed since something last played, and `undecodable`
 * is what one of them said of the stream's codecs.
 */
export function next(ways: readonly Way[], way: Way, failure: Failure, tried: readonly Way[], undecodable?: string): Next {
  // It is there, since another way has seen its codecs; the server does not offer them in this one.
  if (failure.kind === "absent" && undecodable !== undefined) return { do: "give up", reason: undecodable };
  if (failure.kind === "absent") return { do: "wait", ms: RETRY_MS };
  if (failure.kind === "refused" && (failure.status === 401 || failure.status === 400)) {
    return { do: "give up", reason: refusal(failure.status) };
  }
  const untried = ways.find((other) => other !== way && !tried.includes(other));
  if (untried) return { do: "try", way: untried, ms: 0 };
  if (failure.kind === "refused") return { do: "give up", reason: refusal(failure.status) };
  if (failure.kind === "unsupported") return { do: "give up", reason: failure.detail };
  const first = ways[0];
  return first ? { do: "try", way: first, ms: ROUND_MS } : { do: "give up", reason: NOTHING };
}

export const NOTHING = "This browser can play neither FLV nor HLS.";

function refusal(status: number): string {
  switch (status) {
    case 400:
      return "The address of this stream is malformed.";
    case 401:
      return "This stream needs a token: ask whoever sent you here for a complete link.";
    case 403:
      return "You may not watch this stream: the token is for something else, or playing is switched off.";
    case 503:
      return "The server has as many streams as it may have.";
    default:
      return `The server refused with status ${status}.`;
  }
}

/** A status of HTTP as a failure. */
export function failureOf(status: number): Failure {
  if (status === 404) return { kind: "absent" };
  if (status >= 400 && status < 500) return { kind: "refused", status };
  return { kind: "broken", detail: `the server answered ${status}` };
}
