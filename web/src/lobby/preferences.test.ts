import { expect, it } from "vitest";
import { ANY_DEVICE, keepPreferences, readPreferences } from "./preferences";

function memory(initial?: string) {
  const kept = new Map<string, string>();
  if (initial !== undefined) kept.set("millrace.preferences", initial);
  return {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
  };
}

it("starts with everything on", () => {
  expect(readPreferences(memory())).toEqual({
    name: "",
    micOn: true,
    cameraOn: true,
    micId: ANY_DEVICE,
    cameraId: ANY_DEVICE,
    speakerId: ANY_DEVICE,
  });
});

it("keeps one change without losing the others", () => {
  const storage = memory();
  keepPreferences({ name: "Ada", cameraOn: false }, storage);
  keepPreferences({ micId: "mic-2" }, storage);
  expect(readPreferences(storage)).toMatchObject({ name: "Ada", cameraOn: false, micOn: true, micId: "mic-2" });
});

it("does not trust what it finds", () => {
  expect(readPreferences(memory("{"))).toEqual(readPreferences(memory()));
  expect(readPreferences(memory("7"))).toEqual(readPreferences(memory()));
  expect(readPreferences(memory('{"name":7,"micOn":"yes","cameraOn":false,"extra":1}'))).toEqual({
    ...readPreferences(memory()),
    cameraOn: false,
  });
});

it("lives with a storage that throws", () => {
  const broken = {
    getItem: () => null,
    setItem: () => {
      throw new DOMException("full", "QuotaExceededError");
    },
  };
  expect(() => keepPreferences({ name: "Ada" }, broken)).not.toThrow();
});
