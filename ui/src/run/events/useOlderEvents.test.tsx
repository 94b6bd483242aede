import { act, renderHook, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { START } from "../fixtures";
import { KEPT_EVENTS, RunFeed } from "../live/feed";
import type { RunEvent } from "../model/types";
import { useOlderEvents } from "./useOlderEvents";

const COUNT = 2_500;
/** A page of the server has at most so many events, if they are long. */
let longest = Number.POSITIVE_INFINITY;
let requests: number[] = [];

function event(index: number): RunEvent {
  return { event: "RunContent", event_index: index, created_at: 0, at: START, run_id: "r" };
}

beforeEach(() => {
  requests = [];
  longest = Number.POSITIVE_INFINITY;
  vi.stubGlobal("fetch", async (request: Request) => {
    const query = new URL(request.url).searchParams;
    const after = Math.min(Number(query.get("after")), COUNT - 1);
    const last = Math.min(after + Math.min(Number(query.get("limit")), longest), COUNT - 1);
    requests.push(after);
    const events = Array.from({ length: last - after }, (_, i) => event(after + 1 + i));
    return new Response(JSON.stringify({ events, last_event_index: last, has_more: last < COUNT - 1 }));
  });
});

afterEach(() => vi.unstubAllGlobals());

const rangeOf = (events: readonly RunEvent[]) => [events.length, events[0]?.event_index, events.at(-1)?.event_index];

test("the newest page is read first, and older ones on request, back to the first event", async () => {
  const empty = new RunFeed("r");
  const { result } = renderHook(() => useOlderEvents("r", empty));
  expect(result.current.isLoading).toBe(true);
  await waitFor(() => expect(rangeOf(result.current.events)).toEqual([1_000, 1_500, 2_499]));
  expect(requests).toEqual([2_499, 1_499]);
  act(() => result.current.load());
  await waitFor(() => expect(rangeOf(result.current.events)).toEqual([2_000, 500, 2_499]));
  expect(result.current.hasOlder).toBe(true);
  act(() => result.current.load());
  await waitFor(() => expect(rangeOf(result.current.events)).toEqual([2_500, 0, 2_499]));
  expect(result.current.hasOlder).toBe(false);
});

test("nothing is read again that the feed has", async () => {
  const feed = new RunFeed("r");
  feed.apply(Array.from({ length: 100 }, (_, i) => event(2_400 + i)));
  const { result } = renderHook(() => useOlderEvents("r", feed));
  expect(result.current.isLoading).toBe(false);
  expect(requests).toEqual([]);
  act(() => result.current.load());
  await waitFor(() => expect(rangeOf(result.current.events)).toEqual([1_000, 1_400, 2_399]));
});

test("a page of long events, which the server cuts short, leaves no gap", async () => {
  longest = 300;
  const feed = new RunFeed("r");
  feed.apply([event(1_200)]);
  const { result } = renderHook(() => useOlderEvents("r", feed));
  act(() => result.current.load());
  await waitFor(() => expect(rangeOf(result.current.events)).toEqual([1_000, 200, 1_199]));
});

test("events that arrive after older ones were loaded leave no gap", async () => {
  const feed = new RunFeed("r");
  feed.apply(Array.from({ length: 100 }, (_, i) => event(2_400 + i)));
  const { result, unmount } = renderHook(() => useOlderEvents("r", feed));
  act(() => result.current.load());
  await waitFor(() => expect(result.current.events).toHaveLength(1_000));
  feed.apply(Array.from({ length: 3_000 }, (_, i) => event(2_500 + i)));
  const indexes = [...result.current.events, ...feed.recent].map((one) => one.event_index);
  expect(indexes).toEqual(Array.from({ length: 4_100 }, (_, i) => 1_400 + i));
  unmount();
  await waitFor(() => expect(feed.keptFrom).toBe(Number.POSITIVE_INFINITY));
  feed.apply([event(5_500)]);
  expect(feed.recent).toHaveLength(KEPT_EVENTS);
});
