/** Tokens for people without an account: `POST /api/v1/guest-token`. */

export interface GuestPass {
  token: string;
  identity: string;
  room: string;
}

/** A refusal in words that can be shown as they are. */
export class GuestRefused extends Error {
  override name = "GuestRefused";
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export async function requestGuestPass(
  wanted: { room: string; name: string },
  fetcher: typeof fetch = fetch,
): Promise<GuestPass> {
  let response: Response;
  try {
    response = await fetcher("/api/v1/guest-token", {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(wanted),
    });
  } catch {
    throw new GuestRefused("The server does not answer. Check your connection and try again.", 0);
  }
  const body = await response.text();
  if (!response.ok) throw new GuestRefused(refusal(response.status, reasonIn(body)), response.status);
  const pass = parse(body);
  if (!isGuestPass(pass)) throw new GuestRefused("The server sent an answer this page does not understand.", response.status);
  return pass;
}

function refusal(status: number, reason: string | undefined): string {
  switch (status) {
    case 401:
    case 403:
    case 404:
      return "This server does not let guests in. Ask whoever runs it for an invitation.";
    case 429:
      return "Too many people are joining right now. Wait a moment and try again.";
    case 400:
    case 422:
      return reason ? `The server refused: ${reason}` : "The server did not accept this name or room.";
    default:
      return status >= 500
        ? "The server has a problem and could not let you in. Try again in a moment."
        : `The server refused to let you in (status ${status}).`;
  }
}

function reasonIn(body: string): string | undefined {
  const parsed = parse(body);
  const reason =
    typeof parsed === "object" && parsed !== null
      ? ["error", "message", "msg"].map((key) => (parsed as Record<string, unknown>)[key]).find((v) => typeof v === "string")
      : body;
  const text = typeof reason === "string" ? reason.trim() : "";
  return text && text.length <= 200 && !text.startsWith("<") ? text : undefined;
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function isGuestPass(value: unknown): value is GuestPass {
  if (typeof value !== "object" || value === null) return false;
  const { token, identity, room } = value as Record<string, unknown>;
  return typeof token === "string" && token !== "" && typeof identity === "string" && typeof room === "string";
}
