import { cleanup, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { startFeed } from "../api/feed";
import { renderPage } from "../approvals/testing";
import { completedRun, runOf } from "../runs/fixtures";
import { useLastRuns } from "./queries";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function LastRuns() {
  const { data } = useLastRuns("agent", "travel");
  return <p>{data?.data.map((run) => run.status).join(", ")}</p>;
}

const OURS = { run_id: "r1", component_kind: "agent" as const, component_id: "travel" };

test("without a feed the last runs are asked for again", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  let run = runOf(OURS);
  vi.stubGlobal("fetch", async () => Response.json({ data: [run], meta: { limit: 5, next_cursor: null } }));
  renderPage(<LastRuns />);
  await screen.findByText("RUNNING");
  run = completedRun(OURS);
  await vi.advanceTimersByTimeAsync(3_000);
  await screen.findByText("COMPLETED");
});

test("the last runs of an agent follow their changes, and not those of others", async () => {
  vi.useFakeTimers({ shouldAdvanceTime: true });
  let run = runOf(OURS);
  let reads = 0;
  let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
  const start = (controller: ReadableStreamDefaultController<Uint8Array>) => {
    feed = controller;
  };
  vi.stubGlobal("fetch", async (request: Request | string) => {
    if (!(request instanceof Request)) {
      return new Response(new ReadableStream({ start }));
    }
    reads += 1;
    return new Response(JSON.stringify({ data: [run], meta: { limit: 5, next_cursor: null } }));
  });
  const tell = (changed: unknown) =>
    feed?.enqueue(new TextEncoder().encode(`event: run\ndata: ${JSON.stringify(changed)}\n\n`));
  const stop = startFeed();
  tell({}); // the connection is live
  renderPage(<LastRuns />);
  await screen.findByText("RUNNING");
  await vi.advanceTimersByTimeAsync(10_000);
  const readsBefore = reads;
  tell({ ...OURS, component_id: "billing" });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(reads).toBe(readsBefore);
  run = completedRun(OURS);
  tell(run);
  tell(run);
  await vi.advanceTimersByTimeAsync(3_000);
  await waitFor(() => expect(screen.getByText("COMPLETED")).toBeTruthy());
  expect(reads).toBe(readsBefore + 1);
  stop();
});
