import { expect, it } from "vitest";
import { faultInWords, faultOf, optionsOf } from "./devices";

it("sorts what browsers throw", () => {
  const named = (name: string) => new DOMException("", name);
  expect(faultOf(named("NotAllowedError"))).toBe("denied");
  expect(faultOf(named("NotFoundError"))).toBe("missing");
  expect(faultOf(named("OverconstrainedError"))).toBe("missing");
  expect(faultOf(named("NotReadableError"))).toBe("busy");
  expect(faultOf(new Error("?"))).toBe("failed");
  expect(faultOf(undefined)).toBe("failed");
});

it("names the device in every fault", () => {
  for (const fault of ["insecure", "denied", "missing", "busy", "failed"] as const) {
    expect(faultInWords(fault, "camera")).toContain("camera");
  }
});

it("offers a default and only devices that have names", () => {
  expect(optionsOf([{ deviceId: "", label: "" }], "videoinput")).toEqual([{ value: "default", label: "Default camera" }]);
  expect(
    optionsOf(
      [
        { deviceId: "default", label: "Default - USB" },
        { deviceId: "a1", label: "USB Microphone (046d:0825)" },
      ],
      "audioinput",
    ),
  ).toEqual([
    { value: "default", label: "Default - USB" },
    { value: "a1", label: "USB Microphone" },
  ]);
});
