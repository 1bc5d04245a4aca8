import { describe, expect, it } from "vitest";
import { failureOf, next, RETRY_MS, ROUND_MS, waysFor } from "./ways";

const ways = waysFor({ mse: true, nativeHls: false });

describe("the best way", () => {
  it("is FLV where scripts can feed a decoder, and the browser's own player where they cannot", () => {
    expect(ways).toEqual(["flv", "ll-hls"]);
    expect(waysFor({ mse: true, nativeHls: true })).toEqual(["flv", "native", "ll-hls"]);
    expect(waysFor({ mse: false, nativeHls: true })).toEqual(["native"]);
    expect(waysFor({ mse: false, nativeHls: false })).toEqual([]);
  });
});

describe("when a way fails", () => {
  it("a stream that is not live is waited for, in the same way", () => {
    expect(next(ways, "flv", failureOf(404), [])).toEqual({ do: "wait", ms: RETRY_MS });
    expect(next(ways, "ll-hls", failureOf(404), ["flv"])).toEqual({ do: "wait", ms: RETRY_MS });
  });

  it("the next one is tried, and after the last the first again, later", () => {
    const broken = { kind: "broken", detail: "" } as const;
    expect(next(ways, "flv", broken, [])).toEqual({ do: "try", way: "ll-hls", ms: 0 });
    expect(next(ways, "ll-hls", broken, ["flv"])).toEqual({ do: "try", way: "flv", ms: ROUND_MS });
    expect(next(["native"], "native", broken, [])).toEqual({ do: "try", way: "native", ms: ROUND_MS });
  });

  it("a protocol that is switched off is no reason to give up the others", () => {
    expect(next(ways, "flv", failureOf(403), [])).toEqual({ do: "try", way: "ll-hls", ms: 0 });
    expect(next(ways, "ll-hls", failureOf(403), ["flv"]).do).toBe("give up");
  });

  it("a missing token is missing in every way", () => {
    const after = next(ways, "flv", failureOf(401), []);
    expect(after.do === "give up" && after.reason).toContain("token");
  });

  it("what no way can decode is said", () => {
    const unsupported = { kind: "unsupported", detail: "no H.265 here" } as const;
    expect(next(ways, "flv", unsupported, [])).toEqual({ do: "try", way: "ll-hls", ms: 0 });
    expect(next(ways, "ll-hls", unsupported, ["flv"])).toEqual({ do: "give up", reason: "no H.265 here" });
    // The server has no HLS of such a stream: that is no reason to wait for one.
    const absent = { kind: "absent" } as const;
    expect(next(ways, "ll-hls", absent, ["flv"], "no AV1 here")).toEqual({ do: "give up", reason: "no AV1 here" });
  });
});
