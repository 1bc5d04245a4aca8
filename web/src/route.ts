/** Where in the page somebody is. The address bar is the only place that remembers a room, so that a link is enough. */

export const MAX_ROOM_NAME = 128;

/** The room an address points at: `/r/<room>` or `?room=<room>`, or nothing. */
export function roomFromLocation(location: { pathname: string; search: string }): string | undefined {
  const path = /^\/r\/([^/]+)\/?$/.exec(location.pathname);
  const raw = path?.[1] !== undefined ? decode(path[1]) : new URLSearchParams(location.search).get("room");
  const room = raw?.trim().slice(0, MAX_ROOM_NAME);
  return room ? room : undefined;
}

export function roomPath(room: string): string {
  return `/r/${encodeURIComponent(room)}`;
}

/** The link that brings somebody else into the room. */
export function inviteLink(origin: string, room: string): string {
  return origin + roomPath(room);
}

/** The address of the LiveKit signalling endpoint on the server that served this page. */
export function signalUrl(origin: string): string {
  return origin.replace(/^http/, "ws");
}

/** A room name to start from. Two words and four digits are easy to read aloud and hard to hit by chance. */
export function suggestRoom(random: () => number = cryptoRandom): string {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)] ?? words[0];
  const number = 1000 + Math.floor(random() * 9000);
  return `${pick(MANNERS)}-${pick(PLACES)}-${number}`;
}

const MANNERS = [
  "amber", "brisk", "calm", "clear", "coral", "crisp", "deep", "early", "fair", "fern", "gentle", "golden", "hazel",
  "ivory", "jade", "keen", "light", "lively", "mellow", "misty", "quick", "quiet", "rapid", "silver", "still", "sunny",
  "swift", "tidal", "violet", "warm", "wide", "young",
] as const;

const PLACES = [
  "bay", "beck", "bend", "bridge", "brook", "canal", "cascade", "cove", "creek", "delta", "falls", "fjord", "ford",
  "harbor", "inlet", "isle", "lagoon", "lake", "marsh", "meadow", "mill", "pond", "pool", "rapids", "reef", "river",
  "shore", "spring", "strait", "stream", "weir", "wharf",
] as const;

function cryptoRandom(): number {
  const word = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return word / 2 ** 32;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
