import { useEffect, useState } from "react";
import { ask, RETRY_MS, type Asked } from "./live";

/** What is live, asked again every `everyMs`. */
export function useLive(everyMs: number): Asked {
  const [asked, setAsked] = useState<Asked>({ at: "asking" });
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turn = async () => {
      const found = await ask(stop.signal);
      if (stop.signal.aborted) return;
      setAsked(found);
      timer = setTimeout(() => void turn(), found.at === "unreachable" ? RETRY_MS : everyMs);
    };
    void turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [everyMs]);
  return asked;
}
