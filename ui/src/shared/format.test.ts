import { describe, expect, test } from "vitest";
import {
  costOfTokens,
  formatBytes,
  formatCost,
  formatCount,
  formatDuration,
  formatOffset,
  formatTime,
  plural,
} from "./format";

const plain = (text: string) => text.replaceAll(/[\u202f\u00a0]/g, " ");

describe("durations", () => {
  test.each([
    [0, "0 ms"],
    [0.62, "620 ms"],
    [0.9996, "1.00 s"],
    [3.2, "3.20 s"],
    [9.996, "10.0 s"],
    [42, "42.0 s"],
    [59.96, "1 m 00 s"],
    [426, "7 m 06 s"],
    [7500, "2 h 05 m"],
    [273_600, "3 d 4 h"],
    [-1, "0 ms"],
    [null, "–"],
  ])("%s is %s", (seconds, text) => expect(plain(formatDuration(seconds))).toBe(text));
});

test("offsets tell events of the same second apart", () => {
  expect(plain(formatOffset(0.0042))).toBe("0.004 s");
  expect(plain(formatOffset(123.0454))).toBe("2 m 03.045 s");
  expect(plain(formatOffset(-0.1))).toBe("0.000 s");
});

test("today is a clock, older days have their date", () => {
  const now = new Date(2026, 10, 27, 12).getTime() / 1000;
  expect(formatTime(new Date(2026, 10, 27, 9, 5, 7).getTime() / 1000, now)).toBe("09:05:07");
  expect(formatTime(new Date(2026, 10, 26, 9, 5, 7).getTime() / 1000, now)).toBe("26 Nov, 09:05");
  expect(formatTime(new Date(2025, 1, 3).getTime() / 1000, now)).toBe("3 Feb 2025");
  expect(formatTime(null)).toBe("–");
});

test("counts, costs, sizes and plurals", () => {
  expect(formatCount(10352)).toBe("10,352");
  expect(formatCost(0.0099)).toBe("$0.0099");
  expect(formatCost(0)).toBe("$0");
  expect(formatCost(0.000_001)).toBe("$0.0000");
  expect(formatCost(null)).toBe("price unknown");
  expect(formatCost(undefined)).toBe("–");
  expect([costOfTokens(null, 0), costOfTokens(null, 5), costOfTokens(0, 5)]).toEqual([undefined, null, 0]);
  expect(plain(formatBytes(12_400_000))).toBe("12.4 MB");
  expect(plain(formatBytes(512))).toBe("512 B");
  expect(plural(1, "run")).toBe("1 run");
  expect(plural(2, "run")).toBe("2 runs");
});
