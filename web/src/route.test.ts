import { describe, expect, it } from "vitest";
import { inviteLink, MAX_ROOM_NAME, roomFromLocation, roomPath, signalUrl, suggestRoom } from "./route";

const at = (url: string) => roomFromLocation(new URL(url, "https://meet.example"));

describe("roomFromLocation", () => {
  it("reads the path and the query", () => {
    expect(at("/r/standup")).toBe("standup");
    expect(at("/r/standup/")).toBe("standup");
    expect(at("/?room=standup")).toBe("standup");
  });

  it("finds no room where there is none", () => {
    expect(at("/")).toBeUndefined();
    expect(at("/r/")).toBeUndefined();
    expect(at("/?room=%20%20")).toBeUndefined();
    expect(at("/r/a/b")).toBeUndefined();
  });

  it("survives a broken escape", () => {
    expect(roomFromLocation({ pathname: "/r/50%", search: "" })).toBe("50%");
  });

  it("bounds the length", () => {
    expect(at(`/r/${"x".repeat(1000)}`)).toHaveLength(MAX_ROOM_NAME);
  });

  it("reads back every name that roomPath writes", () => {
    for (const name of ["daily", "Grüße & so", "a/b?c#d", "会议 1", "100%"]) {
      expect(at(roomPath(name))).toBe(name);
    }
  });
});

it("makes links and signalling addresses of the page's own origin", () => {
  expect(inviteLink("https://meet.example:8443", "a b")).toBe("https://meet.example:8443/r/a%20b");
  expect(signalUrl("http://localhost:7880")).toBe("ws://localhost:7880");
  expect(signalUrl("https://meet.example")).toBe("wss://meet.example");
});

it("suggests names that need no escaping", () => {
  for (let i = 0; i < 50; i += 1) {
    const name = suggestRoom();
    expect(name).toMatch(/^[a-z]+-[a-z]+-\d{4}$/);
    expect(roomPath(name)).toBe(`/r/${name}`);
  }
  expect(suggestRoom(() => 0)).toBe("amber-bay-1000");
  expect(suggestRoom(() => 0.999999)).toBe("young-wharf-9999");
});
