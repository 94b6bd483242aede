import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createFrameQueue } from "./frameQueue";

beforeEach(() =>
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame"] }),
);
afterEach(() => vi.useRealTimers());

test("what arrives between two frames is handed over at once", () => {
  const batches: number[][] = [];
  const queue = createFrameQueue<number>((items) => batches.push(items));
  queue.push(1);
  queue.push(2);
  expect(batches).toEqual([]);
  vi.advanceTimersByTime(20);
  queue.push(3);
  vi.advanceTimersByTime(20);
  expect(batches).toEqual([[1, 2], [3]]);
});

test("a long replay takes several frames, in order", () => {
  const sizes: number[] = [];
  const queue = createFrameQueue<number>((items) => sizes.push(items.length));
  for (let i = 0; i < 4000; i++) queue.push(i);
  vi.advanceTimersByTime(100);
  expect(sizes.length).toBeGreaterThan(1);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(4000);
});

test("flush hands everything over now, and nothing follows a close", () => {
  const batches: number[][] = [];
  const queue = createFrameQueue<number>((items) => batches.push(items));
  queue.push(1);
  queue.flush();
  queue.push(2);
  queue.close();
  vi.advanceTimersByTime(2000);
  expect(batches).toEqual([[1]]);
});
