import { describe, expect, it } from "vitest";
import { bitrateText, Health, latencyText, Rate, waitText } from "./health";

function play(health: Health, from: number, to: number, moves: boolean, start = from / 1000): void {
  for (let at = from; at <= to; at += 250) {
    health.see({ at, position: moves ? start + (at - from) / 1000 : start, ahead: 0.5, paused: false });
  }
}

describe("the quality of buffering", () => {
  it("is good while it plays", () => {
    const health = new Health();
    play(health, 0, 10_000, true);
    expect([health.quality, health.stalls, health.stalled]).toEqual(["good", 0, false]);
  });

  it("suffers from a stall, and remembers it for a minute", () => {
    const health = new Health();
    play(health, 0, 5_000, true);
    play(health, 5_250, 7_000, false, 5);
    expect([health.quality, health.stalled, health.lost]).toEqual(["poor", true, false]);
    play(health, 7_250, 30_000, true);
    expect([health.quality, health.stalls]).toEqual(["fair", 1]);
    play(health, 30_250, 70_000, true);
    expect([health.quality, health.stalls]).toEqual(["good", 0]);
  });

  it("a stall that lasts is given up, a pause is none", () => {
    const health = new Health();
    play(health, 0, 5_000, true);
    play(health, 5_250, 12_000, false, 5);
    expect(health.lost).toBe(true);
    const paused = new Health();
    for (let at = 0; at < 20_000; at += 250) paused.see({ at, position: 3, ahead: 0.5, paused: true });
    expect([paused.lost, paused.stalls]).toEqual([false, 0]);
  });
});

describe("figures", () => {
  it("a rate is that of the last seconds, and survives a new count", () => {
    const rate = new Rate();
    expect(rate.see(0, 0)).toBeUndefined();
    for (let at = 1000; at <= 10_000; at += 1000) rate.see(at, at * 250);
    expect(rate.see(11_000, 11_000 * 250)).toBeCloseTo(2_000_000);
    expect(rate.see(12_000, 10)).toBeUndefined();
    expect(rate.see(13_000, 125_010)).toBeCloseTo(1_000_000);
  });

  it("are said shortly", () => {
    expect([bitrateText(2_340_000), bitrateText(64_400), bitrateText(undefined)]).toEqual(["2.3 Mbit/s", "64 kbit/s", "–"]);
    expect([latencyText(0.84), latencyText(12.3), latencyText(undefined), latencyText(-1)]).toEqual(["0.8 s", "12 s", "–", "–"]);
    expect([waitText(839.6), waitText(2340)]).toEqual(["840 ms", "2.3 s"]);
  });
});
