/** What somebody chose last time, kept in this browser. */

export interface Preferences {
  name: string;
  micOn: boolean;
  cameraOn: boolean;
  micId: string;
  cameraId: string;
  speakerId: string;
}

const KEY = "millrace.preferences";

/** The browser's own word for "whichever device the system prefers". */
export const ANY_DEVICE = "default";

const FIRST_TIME: Preferences = {
  name: "",
  micOn: true,
  cameraOn: true,
  micId: ANY_DEVICE,
  cameraId: ANY_DEVICE,
  speakerId: ANY_DEVICE,
};

export function readPreferences(storage: Pick<Storage, "getItem"> | undefined = storageOrNothing()): Preferences {
  let stored: unknown;
  try {
    stored = JSON.parse(storage?.getItem(KEY) ?? "null");
  } catch {
    stored = null;
  }
  if (typeof stored !== "object" || stored === null) return { ...FIRST_TIME };
  const known = Object.entries(stored).filter(([key, value]) => typeof value === typeof FIRST_TIME[key as keyof Preferences]);
  return { ...FIRST_TIME, ...Object.fromEntries(known) };
}

export function keepPreferences(
  change: Partial<Preferences>,
  storage: Pick<Storage, "getItem" | "setItem"> | undefined = storageOrNothing(),
): void {
  try {
    storage?.setItem(KEY, JSON.stringify({ ...readPreferences(storage), ...change }));
  } catch {
    // A full or forbidden storage only means that the choice is asked again.
  }
}

/** Reading `localStorage` throws where cookies are forbidden. */
function storageOrNothing(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}
