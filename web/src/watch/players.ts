/** One player for each way. Their libraries are fetched when they are needed, and not with the page. */

import { failureOf, type Failure, type Way } from "./ways";
import { lowLatency, type Addresses } from "./address";
import { reached } from "./milestones";

/** What a player tells while it plays. */
export interface Figures {
  /** Seconds between the newest frame, or the wall clock where the stream carries it, and what is shown. */
  latency?: number;
  /** Bytes that have come since it began. */
  bytes?: number;
}

export interface Player {
  figures(): Figures;
  /** Goes to the live edge. */
  toEdge(): void;
  destroy(): void;
}

export type Failed = (failure: Failure) => void;

/** Fetches what a way needs, before it is known where the stream is. */
export function prepare(way: Way): void {
  // Whoever imports it hears of an error.
  if (way === "flv") void import("mpegts.js").catch(() => undefined);
}

/** Begins to play into `video`; throws if it cannot even begin. */
export async function start(way: Way, video: HTMLVideoElement, at: Addresses, failed: Failed): Promise<Player> {
  if (at.flv === undefined || at.hls === undefined) {
    throw new Error("This server serves no streams over HTTP: live.http.port is off.");
  }
  switch (way) {
    case "flv":
      return startFlv(video, lowLatency(at.flv), failed);
    case "ll-hls":
      return startHls(video, at.hls, failed);
    case "native":
      return startNative(video, at.hls, failed);
  }
}

function edgeOf(video: HTMLVideoElement): number | undefined {
  const { buffered } = video;
  return buffered.length > 0 ? buffered.end(buffered.length - 1) : undefined;
}

function seekToEdge(video: HTMLVideoElement, behind: number): void {
  const edge = edgeOf(video);
  if (edge !== undefined) video.currentTime = Math.max(0, edge - behind);
}

/** What is kept between the newest frame and the shown one. */
const FLV_TARGET_S = 0.4;
const FLV_MOST_S = 1;

async function startFlv(video: HTMLVideoElement, url: string, failed: Failed): Promise<Player> {
  const { default: mpegts } = await import("mpegts.js");
  mpegts.LoggingControl.applyConfig({ enableAll: false });
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url },
    {
      enableWorker: false,
      enableStashBuffer: false,
      liveSync: true,
      liveSyncMaxLatency: FLV_MOST_S,
      liveSyncTargetLatency: FLV_TARGET_S,
      liveSyncPlaybackRate: 1.15,
      autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: 20,
      autoCleanupMinBackwardDuration: 10,
    },
  );
  let bytes = 0;
  player.on(mpegts.Events.STATISTICS_INFO, (info: { speed?: number }) => {
    // The library says kilobytes a second, twice a second.
    bytes += ((info.speed ?? 0) * 1024) / STATISTICS_PER_SECOND;
  });
  player.on(mpegts.Events.ERROR, (type: string, detail: string, info?: { code?: number; msg?: string }) => {
    if (type === mpegts.ErrorTypes.NETWORK_ERROR && detail === mpegts.ErrorDetails.NETWORK_STATUS_CODE_INVALID) {
      failed(failureOf(info?.code ?? 0));
    } else if (type === mpegts.ErrorTypes.MEDIA_ERROR) {
      failed({ kind: "unsupported", detail: `This browser cannot decode the stream (${info?.msg ?? detail}).` });
    } else {
      failed({ kind: "broken", detail });
    }
  });
  // The file ends when the stream has: it is waited for like one that has not begun.
  player.on(mpegts.Events.LOADING_COMPLETE, () => failed({ kind: "absent" }));
  player.on(mpegts.Events.MEDIA_INFO, () => reached("media"));
  player.attachMediaElement(video);
  player.load();
  reached("loaded");
  return {
    figures: () => {
      const edge = edgeOf(video);
      return { bytes, ...(edge !== undefined && { latency: edge - video.currentTime }) };
    },
    toEdge: () => seekToEdge(video, FLV_TARGET_S),
    destroy: () => player.destroy(),
  };
}

const STATISTICS_PER_SECOND = 1000 / 600;

async function startHls(video: HTMLVideoElement, url: string, failed: Failed): Promise<Player> {
  const { default: Hls } = await import("hls.js/light");
  if (!Hls.isSupported()) {
    throw new Error("This browser has no Media Source Extensions.");
  }
  const hls = new Hls({ lowLatencyMode: true, backBufferLength: 20, maxLiveSyncPlaybackRate: 1.15, liveDurationInfinity: true });
  let bytes = 0;
  let mended = false;
  hls.on(Hls.Events.FRAG_LOADED, (_, data) => {
    if (!data.part) bytes += data.frag.stats.loaded;
  });
  hls.on(Hls.Events.FRAG_BUFFERED, (_, data) => {
    if (data.part) bytes += data.stats.loaded;
  });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    const status = data.response?.code;
    if (status !== undefined && status >= 400) {
      failed(failureOf(status));
    } else if (data.type === Hls.ErrorTypes.MEDIA_ERROR && !mended) {
      mended = true;
      hls.recoverMediaError();
    } else if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      failed({ kind: "unsupported", detail: `This browser cannot decode the stream (${data.details}).` });
    } else {
      failed({ kind: "broken", detail: data.details });
    }
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    figures: () => {
      const latency = sinceShown(hls.playingDate) ?? (hls.latency > 0 ? hls.latency : undefined);
      return { bytes, ...(latency !== undefined && { latency }) };
    },
    toEdge: () => {
      if (hls.liveSyncPosition !== null) video.currentTime = hls.liveSyncPosition;
    },
    destroy: () => hls.destroy(),
  };
}

/** Clocks that are further apart than a stream can be late say nothing of it. */
const MOST_LATE_S = 60;

function sinceShown(date: Date | null): number | undefined {
  if (!date) return undefined;
  const seconds = (Date.now() - date.getTime()) / 1000;
  return seconds >= 0 && seconds < MOST_LATE_S ? seconds : undefined;
}

async function startNative(video: HTMLVideoElement, url: string, failed: Failed): Promise<Player> {
  // The element does not say which status it was refused with.
  const answer = await fetch(url, { cache: "no-store" });
  const gone = () => failed({ kind: "broken", detail: video.error?.message ?? "the player stopped" });
  const ended = () => failed({ kind: "absent" });
  if (answer.ok) {
    video.addEventListener("error", gone);
    video.addEventListener("ended", ended);
    video.src = url;
  } else {
    queueMicrotask(() => failed(failureOf(answer.status)));
  }
  return {
    figures: () => {
      const zero = (video as HTMLVideoElement & { getStartDate?: () => Date }).getStartDate?.();
      const shown = zero && !Number.isNaN(zero.getTime()) ? new Date(zero.getTime() + video.currentTime * 1000) : null;
      const latency = sinceShown(shown);
      return latency !== undefined ? { latency } : {};
    },
    toEdge: () => {
      const { seekable } = video;
      if (seekable.length > 0) video.currentTime = seekable.end(seekable.length - 1);
    },
    destroy: () => {
      video.removeEventListener("error", gone);
      video.removeEventListener("ended", ended);
      video.removeAttribute("src");
      video.load();
    },
  };
}
