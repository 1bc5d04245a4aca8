import { ConnectionError, DisconnectReason } from "livekit-client";
import { describe, expect, it } from "vitest";
import { GuestRefused } from "../api/guest";
import { farewell, joinFailure } from "./words";

describe("joinFailure", () => {
  it("repeats a refusal that is already in words", () => {
    expect(joinFailure(new GuestRefused("Guests are off.", 403)).detail).toBe("Guests are off.");
  });

  it("tells an unreachable server from an expired token and a blocked path", () => {
    const details = [
      ConnectionError.serverUnreachable("x"),
      ConnectionError.notAllowed("x", 401),
      ConnectionError.timeout("x"),
      ConnectionError.internal("could not establish pc connection"),
      ConnectionError.leaveRequest("x", DisconnectReason.JOIN_FAILURE),
      new Error("surprise"),
    ].map((error) => joinFailure(error).detail);
    expect(new Set(details).size).toBe(details.length);
    expect(details[3]).toContain("firewall");
    expect(details[4]).toContain("full");
  });
});

describe("farewell", () => {
  it("has a title for every reason there is", () => {
    for (const reason of Object.values(DisconnectReason).filter((value) => typeof value === "number")) {
      expect(farewell(reason).title).not.toBe("");
    }
  });

  it("does not alarm somebody who pressed leave", () => {
    expect(farewell(DisconnectReason.CLIENT_INITIATED)).toEqual({ title: "You left the meeting" });
    expect(farewell(undefined)).toEqual({ title: "You left the meeting" });
  });

  it("says that the server is going down", () => {
    expect(farewell(DisconnectReason.SERVER_SHUTDOWN).title).toContain("shutting down");
  });
});
