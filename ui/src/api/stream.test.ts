import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { api } from "./client";
import { openStream, retryDelay, type Stream, type StreamState } from "./stream";

const fetchMock = vi.fn<typeof fetch>();
let stream: Stream | null = null;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", fetchMock);
});

afterEach(() => {
  stream?.close();
  fetchMock.mockReset();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function frames(...texts: string[]): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const text of texts) controller.enqueue(encoder.encode(text));
      controller.close();
    },
  });
  return new Response(body, { status: 200 });
}

function sentId(call: number): string | null {
  return new Headers(fetchMock.mock.calls[call]?.[1]?.headers).get("Last-Event-ID");
}

test("a stream that breaks goes on after the last id, and nothing is told twice", async () => {
  fetchMock
    .mockResolvedValueOnce(frames("id: 1\ndata: one\n\nid: 2\nda", "ta: two\n\nid: 3\ndata: cut"))
    .mockRejectedValueOnce(new TypeError("refused"))
    .mockResolvedValueOnce(frames("id: 3\ndata: three\n\n"));
  const seen: string[] = [];
  const states: StreamState["name"][] = [];
  let isOver = false;
  stream = openStream({
    path: "/runs/r/events",
    onMessage: (message) => {
      seen.push(message.data);
      isOver = message.data === "three";
    },
    onState: (state) => states.push(state.name),
    isOver: () => isOver,
  });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(seen).toEqual(["one", "two", "three"]);
  expect([sentId(0), sentId(1), sentId(2)]).toEqual([null, "2", "2"]);
  expect(states).toEqual(["connecting", "live", "reconnecting", "reconnecting", "live", "ended"]);
});

test("a stream that waits for its next try goes on once the server answers another request", async () => {
  fetchMock.mockRejectedValue(new TypeError("refused"));
  const states: StreamState["name"][] = [];
  stream = openStream({
    path: "/runs/r/events",
    onMessage: () => undefined,
    onState: (state) => states.push(state.name),
  });
  await vi.advanceTimersByTimeAsync(40_000);
  expect(states.at(-1)).toBe("reconnecting");
  fetchMock.mockImplementation(async (request) =>
    request instanceof Request ? new Response("{}") : new Response(new ReadableStream(), { status: 200 }),
  );
  await api.GET("/-/live");
  await vi.advanceTimersByTimeAsync(0);
  expect(states.at(-1)).toBe("live");
});

test("an answer that will not change is not asked for again", async () => {
  fetchMock.mockResolvedValue(new Response('{"detail":"Run not found"}', { status: 404 }));
  const states: StreamState[] = [];
  stream = openStream({ path: "/runs/r/events", onMessage: () => undefined, onState: (state) => states.push(state) });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(fetchMock).toHaveBeenCalledTimes(1);
  expect(states.at(-1)).toMatchObject({ name: "failed", error: { status: 404, message: "Run not found" } });
});

test("delays grow to a limit, with jitter", () => {
  expect(retryDelay(1, () => 0.5)).toBe(500);
  expect(retryDelay(3, () => 0.5)).toBe(2_000);
  expect(retryDelay(50, () => 0.5)).toBe(15_000);
  expect(retryDelay(1, () => 0)).toBe(375);
});

test("a stream rests while the tab is hidden, and then goes on after the last id", async () => {
  const open = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode("id: 7\ndata: seven\n\n")),
  });
  fetchMock.mockResolvedValueOnce(new Response(open)).mockResolvedValue(frames("id: 8\ndata: eight\n\n"));
  const states: StreamState["name"][] = [];
  const seen: string[] = [];
  stream = openStream({
    path: "/runs/changes",
    onMessage: (message) => seen.push(message.data),
    onState: (state) => states.push(state.name),
    isOver: () => true,
  });
  await vi.advanceTimersByTimeAsync(10);
  const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(31_000);
  expect(states).toEqual(["connecting", "live", "hidden"]);
  hidden.mockReturnValue(false);
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(10);
  expect(sentId(1)).toBe("7");
  expect(seen).toEqual(["seven", "eight"]);
});

test("a stream for which other windows leave no place opens for a moment, again and again, and then for good", async () => {
  let isFull = true;
  const request = async (_name: string, _options: object, hold: (lock: object | null) => unknown) =>
    hold(isFull ? null : {});
  vi.stubGlobal("navigator", { ...navigator, locks: { request } });
  const quiet = (text: string) =>
    new Response(
      new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new TextEncoder().encode(text)) }),
    );
  fetchMock
    .mockResolvedValueOnce(quiet("id: 1\ndata: one\n\n"))
    .mockResolvedValueOnce(quiet("id: 2\ndata: two\n\n"))
    .mockResolvedValueOnce(quiet("id: 3\ndata: three\n\n"));
  const seen: string[] = [];
  const states: StreamState["name"][] = [];
  stream = openStream({
    path: "/runs/changes",
    onMessage: (message) => seen.push(message.data),
    onState: (state) => states.push(state.name),
  });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(fetchMock.mock.calls[0]?.[1]?.signal?.aborted).toBe(true);
  await vi.advanceTimersByTimeAsync(3_000);
  expect([seen, states]).toEqual([
    ["one", "two"],
    ["connecting", "taking turns"],
  ]);
  isFull = false;
  await vi.advanceTimersByTimeAsync(10_000);
  expect([sentId(0), sentId(1), sentId(2)]).toEqual([null, "1", "2"]);
  expect([seen, states]).toEqual([
    ["one", "two", "three"],
    ["connecting", "taking turns", "live"],
  ]);
  expect(fetchMock).toHaveBeenCalledTimes(3);
});

test("a stream gives its place back when it is closed", async () => {
  let isHeld = false;
  const request = async (_name: string, _options: object, hold: (lock: object | null) => unknown) => {
    isHeld = true;
    await hold({});
    isHeld = false;
  };
  vi.stubGlobal("navigator", { ...navigator, locks: { request } });
  fetchMock.mockResolvedValue(new Response(new ReadableStream()));
  const open = openStream({ path: "/runs/changes", onMessage: () => undefined });
  await vi.advanceTimersByTimeAsync(10);
  expect(isHeld).toBe(true);
  open.close();
  await vi.advanceTimersByTimeAsync(10);
  expect(isHeld).toBe(false);
});
