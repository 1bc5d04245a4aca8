import { describe, expect, it } from "vitest";
import { capacity, gridFor } from "./layout";

const desktop = { width: 1240, height: 660 };
const phone = { width: 374, height: 640 };

describe("gridFor", () => {
  it("puts two side by side on a desktop and on top of each other on a phone", () => {
    expect(gridFor(2, desktop, 12)).toMatchObject({ columns: 2, rows: 1 });
    expect(gridFor(2, phone, 12)).toMatchObject({ columns: 1, rows: 2 });
  });

  it("makes four a square on a desktop", () => {
    expect(gridFor(4, desktop, 12)).toMatchObject({ columns: 2, rows: 2 });
  });

  it("never overflows and never leaves a row empty", () => {
    for (const space of [desktop, phone, { width: 300, height: 90 }, { width: 80, height: 900 }]) {
      for (let count = 1; count <= 25; count += 1) {
        const { columns, rows, width, height } = gridFor(count, space, 8);
        expect(columns * width + (columns - 1) * 8).toBeLessThanOrEqual(space.width);
        expect(rows * height + (rows - 1) * 8).toBeLessThanOrEqual(space.height);
        expect(columns * rows).toBeGreaterThanOrEqual(count);
        expect(columns * (rows - 1)).toBeLessThan(count);
      }
    }
  });

  it("keeps tiles between 3:4 and 16:9", () => {
    for (let count = 1; count <= 12; count += 1) {
      const { width, height } = gridFor(count, desktop, 12);
      expect(width / height).toBeGreaterThanOrEqual(0.74);
      expect(width / height).toBeLessThanOrEqual(1.79);
    }
  });

  it("has an answer before anything was measured", () => {
    expect(gridFor(3, { width: 0, height: 0 }, 12)).toMatchObject({ width: 0, height: 0 });
    expect(gridFor(0, desktop, 12).columns).toBe(1);
  });
});

describe("capacity", () => {
  it("grows with the space up to a limit, and is never zero", () => {
    expect(capacity({ width: 0, height: 0 }, 12)).toBe(1);
    expect(capacity(phone, 8)).toBe(10);
    expect(capacity({ width: 4000, height: 4000 }, 12)).toBe(25);
  });
});
