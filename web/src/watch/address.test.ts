import { describe, expect, it } from "vitest";
import { addresses, lowLatency, streamFromPath, streamName, watchPath, type Ports } from "./address";

const ports: Ports = { http: 8080, https: false, rtmp: 1935, rtmps: null, default_domain: "default" };
const at = (hostname: string, search = "") => ({ protocol: "http:", hostname, origin: `http://${hostname}:7880`, search });

describe("the page's address", () => {
  it("names a stream with or without its domain, and leads nowhere else", () => {
    expect(streamFromPath("/watch/live/demo")).toEqual({ app: "live", stream: "demo" });
    expect(streamFromPath("/watch/live/demo/")).toEqual({ app: "live", stream: "demo" });
    expect(streamFromPath("/watch/example.org/live/caf%C3%A9")).toEqual({ domain: "example.org", app: "live", stream: "café" });
    for (const path of ["/watch", "/watch/", "/watch/live", "/watch/live/..", "/watch//demo", "/watch/a/b/c/d"]) {
      expect(streamFromPath(path), path).toBeUndefined();
    }
    expect(streamFromPath("/watch/live/%E0%A4%A")).toEqual({ app: "live", stream: "%E0%A4%A" });
  });

  it("is found again from the stream", () => {
    for (const stream of [{ app: "live", stream: "a b/c" }, { domain: "d", app: "live", stream: "demo" }]) {
      expect(streamFromPath(watchPath(stream))).toEqual(stream);
    }
    expect(streamName({ domain: "d", app: "live", stream: "demo" })).toBe("d/live/demo");
  });
});

describe("addresses for players", () => {
  it("are on the host that served the page", () => {
    expect(addresses({ app: "live", stream: "demo" }, ports, at("example.org"))).toEqual({
      page: "http://example.org:7880/watch/live/demo",
      rtmp: "rtmp://example.org/live/demo",
      flv: "http://example.org:8080/live/demo.flv",
      hls: "http://example.org:8080/live/demo/index.m3u8",
    });
  });

  it("carry the token, and what is off is left out", () => {
    const found = addresses({ app: "live", stream: "demo" }, { ...ports, rtmp: null, rtmps: 8443, https: true }, at("::1", "?token=a.b&x=1"));
    expect(found.flv).toBe("https://[::1]:8080/live/demo.flv?token=a.b");
    expect(found.rtmp).toBe("rtmps://[::1]:8443/live/demo?token=a.b");
    expect(addresses({ app: "live", stream: "demo" }, { ...ports, http: null }, at("h")).hls).toBeUndefined();
    expect(lowLatency("http://h/a.flv")).toBe("http://h/a.flv?latency=0");
    expect(lowLatency("http://h/a.flv?token=t")).toBe("http://h/a.flv?token=t&latency=0");
  });
});
