import { createAudioAnalyser, type LocalAudioTrack } from "livekit-client";
import { useEffect, useRef } from "react";
import "./level-meter.css";

const BARS = 5;

/** Shows that the microphone hears something. Written past React, because it changes with every frame. */
export function LevelMeter({ track }: { track: LocalAudioTrack }) {
  const root = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const { calculateVolume, cleanup } = createAudioAnalyser(track, { smoothingTimeConstant: 0.6 });
    let frame = requestAnimationFrame(function draw() {
      const lit = Math.min(BARS, Math.ceil(calculateVolume() * BARS * 2));
      root.current?.style.setProperty("--lit", String(lit));
      frame = requestAnimationFrame(draw);
    });
    return () => {
      cancelAnimationFrame(frame);
      void cleanup();
    };
  }, [track]);
  return (
    <span className="level-meter" ref={root} aria-hidden>
      {Array.from({ length: BARS }, (_, bar) => (
        <i key={bar} style={{ "--bar": bar } as React.CSSProperties} />
      ))}
    </span>
  );
}
