/** What an address of the page means, and the addresses at which players find a stream. */

export interface Stream {
  /** Absent for the default domain. */
  domain?: string;
  app: string;
  stream: string;
}

/** Where the server listens, as `GET /api/v1/watch` says. */
export interface Ports {
  http: number | null;
  https: boolean;
  rtmp: number | null;
  rtmps: number | null;
  default_domain: string;
}

export const WATCH = "/watch";

/** `/watch/app/stream` or `/watch/domain/app/stream`; nothing for the list, or if it is neither. */
export function streamFromPath(pathname: string): Stream | undefined {
  const parts = pathname.replace(/\/+$/, "").split("/").slice(2).map(decode);
  if (parts.some((part) => part === "" || part === "." || part === "..")) return undefined;
  const [first, second, third] = parts;
  if (parts.length === 2 && first && second) return { app: first, stream: second };
  if (parts.length === 3 && first && second && third) return { domain: first, app: second, stream: third };
  return undefined;
}

/** `app/stream`, or with its domain where that is not the default one. */
export function streamName(stream: Stream): string {
  return [stream.domain, stream.app, stream.stream].filter((part) => part !== undefined).join("/");
}

export function watchPath(stream: Stream): string {
  return `${WATCH}/${path(stream)}`;
}

/** What people who share a stream want to copy. */
export interface Addresses {
  page: string;
  rtmp?: string;
  flv?: string;
  hls?: string;
}

/** `search` may carry a token, which every way to play needs. */
export function addresses(stream: Stream, ports: Ports, at: { protocol: string; hostname: string; origin: string; search: string }): Addresses {
  const host = at.hostname.includes(":") && !at.hostname.startsWith("[") ? `[${at.hostname}]` : at.hostname;
  const query = tokenQuery(at.search);
  const found: Addresses = { page: at.origin + watchPath(stream) + query };
  if (ports.http !== null) {
    const base = `${ports.https ? "https" : "http"}://${host}:${ports.http}/${path(stream)}`;
    found.flv = `${base}.flv${query}`;
    found.hls = `${base}/index.m3u8${query}`;
  }
  const [scheme, port, usual] = ports.rtmp !== null ? (["rtmp", ports.rtmp, 1935] as const) : (["rtmps", ports.rtmps, 443] as const);
  if (port !== null) found.rtmp = `${scheme}://${host}${port === usual ? "" : `:${port}`}/${path(stream)}${query}`;
  return found;
}

/** The newest key frame first: a page that chases the live edge wants no more. */
export function lowLatency(flv: string): string {
  return `${flv}${flv.includes("?") ? "&" : "?"}latency=0`;
}

function tokenQuery(search: string): string {
  const token = new URLSearchParams(search).get("token");
  return token ? `?token=${encodeURIComponent(token)}` : "";
}

function path(stream: Stream): string {
  return [stream.domain, stream.app, stream.stream]
    .filter((part) => part !== undefined)
    .map(encodeURIComponent)
    .join("/");
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
