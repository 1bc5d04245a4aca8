import { describe, expect, it } from "vitest";
import { GuestRefused, requestGuestPass } from "./guest";

const wanted = { room: "daily", name: "Ada" };
const answering = (status: number, body: string) => async () => new Response(body, { status });

async function refused(fetcher: typeof fetch): Promise<GuestRefused> {
  return requestGuestPass(wanted, fetcher).then(
    () => expect.unreachable("a refusal"),
    (error: unknown) => {
      expect(error).toBeInstanceOf(GuestRefused);
      return error as GuestRefused;
    },
  );
}

describe("requestGuestPass", () => {
  it("sends the wish as JSON and returns the pass", async () => {
    const seen: { url: string; init: RequestInit }[] = [];
    const pass = await requestGuestPass(wanted, async (url, init) => {
      seen.push({ url: String(url), init: init ?? {} });
      return new Response('{"token":"t","identity":"guest-1","room":"daily"}');
    });
    expect(pass).toEqual({ token: "t", identity: "guest-1", room: "daily" });
    expect(seen[0]?.url).toBe("/api/v1/guest-token");
    expect(seen[0]?.init.method).toBe("POST");
    expect(JSON.parse(String(seen[0]?.init.body))).toEqual(wanted);
  });

  it("says in words why not", async () => {
    expect((await refused(answering(403, "guests are off"))).message).toContain("does not let guests in");
    expect((await refused(answering(400, '{"error":"room name too long"}'))).message).toContain("room name too long");
    expect((await refused(answering(400, "room name too long"))).message).toContain("room name too long");
    expect((await refused(answering(429, ""))).message).toContain("Too many");
    expect((await refused(answering(503, "<html>nginx</html>"))).message).not.toContain("nginx");
    expect((await refused(answering(418, ""))).message).toContain("418");
  });

  it("does not take an answer it cannot read", async () => {
    for (const body of ["", "OK", "[]", "null", '{"token":""}', '{"token":1,"identity":"a","room":"b"}']) {
      expect((await refused(answering(200, body))).message).toContain("does not understand");
    }
  });

  it("tells a dead network from a refusal", async () => {
    const error = await refused(async () => {
      throw new TypeError("Failed to fetch");
    });
    expect(error.status).toBe(0);
    expect(error.message).toContain("does not answer");
  });
});
