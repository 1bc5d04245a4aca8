import { expect, it } from "vitest";
import { hueOf, initialsOf } from "./initials";

it("takes the first and the last word", () => {
  expect(initialsOf("Ada Lovelace")).toBe("AL");
  expect(initialsOf("  ada  king  lovelace ")).toBe("AL");
  expect(initialsOf("ada")).toBe("A");
  expect(initialsOf("python-publisher_2")).toBe("P2");
});

it("does not cut characters in half", () => {
  expect(initialsOf("👩‍🚀 Sally")).toBe("👩‍🚀S");
  expect(initialsOf("王 小明")).toBe("王小");
});

it("has an answer for nobody", () => {
  expect(initialsOf("")).toBe("?");
  expect(initialsOf(" - ")).toBe("?");
});

it("gives a name one colour", () => {
  expect(hueOf("Ada")).toBe(hueOf("Ada"));
  expect(hueOf("Ada")).not.toBe(hueOf("Bob"));
  for (const name of ["", "x", "王"]) {
    expect(hueOf(name)).toBeGreaterThanOrEqual(0);
    expect(hueOf(name)).toBeLessThan(360);
  }
});
