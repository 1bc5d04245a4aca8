import { describe, expect, it } from "vitest";
import { gather, linksIn } from "./messages";

const said = (author: string, minute: number) => ({ author, timestamp: minute * 60_000 });

describe("gather", () => {
  it("keeps together what one author wrote in a row", () => {
    const messages = [said("a", 0), said("a", 1), said("b", 1), said("a", 2), said("a", 9)];
    expect(gather(messages).map((group) => group.length)).toEqual([2, 1, 1, 1]);
    expect(gather([])).toEqual([]);
  });
});

describe("linksIn", () => {
  const links = (text: string) => linksIn(text).flatMap((part) => part.href ?? []);

  it("finds addresses and leaves the punctuation around them", () => {
    expect(links("see https://example.org/a, and (http://b.example/x).")).toEqual(["https://example.org/a", "http://b.example/x"]);
    expect(links("https://en.example.org/wiki/Race_(water)")).toEqual(["https://en.example.org/wiki/Race_(water)"]);
  });

  it("links nothing that a browser would run", () => {
    expect(links("javascript:alert(1) data:text/html,x file:///etc/passwd https://")).toEqual([]);
  });

  it("loses no character", () => {
    for (const text of ["", "plain", "https://a.example", "x https://a.example. y", "http://[::bad and more"]) {
      expect(linksIn(text).map((part) => part.text).join("")).toBe(text);
    }
  });
});
