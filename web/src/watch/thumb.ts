/**
 * Pictures for the list: the newest key frame of a stream, decoded by the visitor's own browser. The server has nothing
 * to decode: it sends what it sends to any player, for as long as a first picture takes.
 */

import { useEffect, useState, type RefObject } from "react";
import { lowLatency } from "./address";

/** A stream that shows nothing by then has no picture. */
const LIMIT_MS = 10_000;
/** How long a picture is good for. */
const REFRESH_MS = 60_000;
/** When a stream that had none is asked again. */
const RETRY_MS = 5_000;
/** Pixels across, which is more than a card has on most screens. */
const WIDTH = 640;

/** One after the other: a list of many streams is no reason to play them all. */
let queue: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = queue.then(work);
  queue = turn.catch(() => undefined);
  return turn;
}

/** The first picture of an FLV stream, as an address that is to be revoked. */
async function firstPicture(url: string, signal: AbortSignal): Promise<string> {
  const { default: mpegts } = await import("mpegts.js");
  signal.throwIfAborted();
  mpegts.LoggingControl.applyConfig({ enableAll: false });
  const video = document.createElement("video");
  video.muted = true;
  const player = mpegts.createPlayer({ type: "flv", isLive: true, hasAudio: false, url: lowLatency(url) }, { enableStashBuffer: false });
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await new Promise<void>((seen, failed) => {
      timer = setTimeout(() => failed(new Error("nothing came")), LIMIT_MS);
      signal.addEventListener("abort", () => failed(new Error("nobody looks")), { once: true });
      video.addEventListener("loadeddata", () => seen(), { once: true });
      player.on(mpegts.Events.ERROR, (_: string, detail: string) => failed(new Error(detail)));
      player.on(mpegts.Events.LOADING_COMPLETE, () => failed(new Error("it ended")));
      player.attachMediaElement(video);
      player.load();
    });
    return await drawn(video);
  } finally {
    clearTimeout(timer);
    player.destroy();
  }
}

async function drawn(video: HTMLVideoElement): Promise<string> {
  const canvas = document.createElement("canvas");
  canvas.width = Math.min(WIDTH, video.videoWidth);
  canvas.height = Math.round((canvas.width * video.videoHeight) / video.videoWidth);
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise<Blob | null>((made) => canvas.toBlob(made, "image/jpeg", 0.8));
  if (!blob) throw new Error("the picture cannot be kept");
  return URL.createObjectURL(blob);
}

/** A picture of a stream while `box` is in sight, made anew from time to time; nothing while there is none. */
export function useThumb(flv: string | undefined, box: RefObject<Element | null>): string | undefined {
  const [picture, setPicture] = useState<string>();
  useEffect(() => {
    if (flv === undefined || !box.current || !("MediaSource" in window)) return;
    let stop: AbortController | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turn = async (signal: AbortSignal) => {
      const isSeen = document.visibilityState === "visible";
      const found = isSeen ? await inTurn(() => firstPicture(flv, signal)).catch(() => undefined) : undefined;
      if (signal.aborted) {
        if (found) URL.revokeObjectURL(found);
        return;
      }
      if (found) setPicture(found);
      timer = setTimeout(() => void turn(signal), found ? REFRESH_MS : RETRY_MS);
    };
    const end = () => {
      stop?.abort();
      clearTimeout(timer);
    };
    const sight = new IntersectionObserver((seen) => {
      end();
      if (!seen.some(({ isIntersecting }) => isIntersecting)) return;
      stop = new AbortController();
      void turn(stop.signal);
    });
    sight.observe(box.current);
    return () => {
      sight.disconnect();
      end();
    };
  }, [flv, box]);
  useEffect(() => () => URL.revokeObjectURL(picture ?? ""), [picture]);
  return picture;
}
