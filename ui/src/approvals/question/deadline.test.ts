import { expect, it } from "vitest";
import { REFUND } from "../fixtures";
import { deadlineText, leftText } from "./deadline";

const NOON = new Date(2026, 10, 27, 12).getTime() / 1000;
const HOUR = 3600;

it("says what happens without a decision, and when", () => {
  const question = { ...REFUND, default_decision: "reject" as const };
  expect(deadlineText({ ...question, expires_at: NOON + 4 * HOUR }, NOON)).toBe(
    "Without a decision, the call is rejected at 16:00, in 4\u202fh\u00a000\u202fm",
  );
  expect(deadlineText({ ...question, default_decision: null, expires_at: NOON + 7 * 24 * HOUR }, NOON + 1)).toBe(
    "Without a decision, the run fails on 4 Dec, 12:00, in 7 days",
  );
  expect(deadlineText({ ...question, expires_at: null }, NOON)).toBeNull();
});

it("has the date of a time that is not today", () => {
  expect(deadlineText({ ...REFUND, expires_at: NOON + 23 * HOUR }, NOON)).toContain(" on 28 Nov, 11:00, in 23");
});

it("counts the days that are left", () => {
  expect(leftText({ ...REFUND, expires_at: NOON + 7 * 24 * HOUR }, NOON + 5)).toBe("7 days left");
});
