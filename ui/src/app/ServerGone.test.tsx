import { act, cleanup, render } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startFeed } from "../api/feed";
import { formatClock } from "../shared/format";
import { ConnectionState } from "./ConnectionState";
import { ServerGone } from "./ServerGone";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function pass(seconds: number): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(seconds * 1000);
  });
}

test("a server that is away longer than a restart takes is said to be, with the time, until it answers", async () => {
  let isAway = true;
  vi.stubGlobal("fetch", async () => {
    if (isAway) throw new TypeError("refused");
    return new Response(new ReadableStream(), { headers: { "Content-Type": "text/event-stream" } });
  });
  const { container } = render(
    <>
      <ConnectionState />
      <ServerGone />
    </>,
  );
  const stop = startFeed();
  await pass(5);
  const lostAt = formatClock(Date.now() / 1000 - 5);
  expect(container.textContent).toBe("Reconnecting");
  await pass(20);
  expect(container.textContent).toContain(`The server has not answered since ${lostAt}.`);
  expect(container.textContent).toContain("Runs continue when the server is back.");
  expect(container.textContent).not.toContain("Reconnecting");
  isAway = false;
  await pass(20);
  expect(container.textContent).toBe("Live");
  stop();
});
