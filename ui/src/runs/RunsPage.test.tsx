import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Router } from "wouter";
import { startFeed } from "../api/feed";
import { useRereadAfterGaps } from "../api/queries";
import type { RunSummary } from "../api/types";
import { useHashLocation, useHashSearch } from "../app/hashLocation";
import { completedRun, runOf } from "./fixtures";
import { RunsPage } from "./RunsPage";

const requests: URL[] = [];
let runs: RunSummary[] = [];
/** The answers of a search by their cursors, if the server does not search all runs at once. */
let searched: Record<string, { data: RunSummary[]; next: string | null }> | null = null;
let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
let closeFeed: (() => void) | undefined;

function send(event: string, data: object): void {
  feed?.enqueue(new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
}

const tell = (run: RunSummary) => send("run", run);
const greet = (isComplete: boolean) =>
  send("hello", { server_id: "w1", version: "1", now: Date.now() / 1000, is_complete: isComplete });

function answerTo(url: URL): unknown {
  if (url.pathname.endsWith("/teams")) return [{ id: "support-desk", name: "Support desk" }];
  if (url.pathname.endsWith("/workflows")) return [{ id: "article", name: "Article" }];
  if (url.pathname.endsWith("/agents")) return [];
  if (url.pathname.endsWith("/runs/counts")) {
    const count = (status: string) => runs.filter((run) => run.status === status).length;
    return {
      all: runs.length,
      pending: count("PENDING"),
      running: count("RUNNING"),
      paused: count("PAUSED"),
      completed: count("COMPLETED"),
      error: count("ERROR"),
      cancelled: count("CANCELLED"),
      needs_you: runs.filter((run) => run.waiting > 0).length,
    };
  }
  const statuses = url.searchParams.getAll("status");
  const cursor = url.searchParams.get("cursor");
  if (searched !== null && statuses.includes("COMPLETED")) {
    const { data, next } = searched[cursor ?? ""] ?? { data: [], next: null };
    return { data, meta: { limit: 50, next_cursor: next } };
  }
  const limit = Number(url.searchParams.get("limit"));
  const first = Number(cursor ?? 0);
  const needsYou = url.searchParams.has("needs_you");
  const matching = runs.filter(
    (run) => (statuses.length === 0 || statuses.includes(run.status)) && (!needsYou || run.waiting > 0),
  );
  const next = first + limit < matching.length ? String(first + limit) : null;
  return { data: matching.slice(first, first + limit), meta: { limit, next_cursor: next } };
}

beforeEach(() => {
  requests.length = 0;
  searched = null;
  feed = undefined;
  window.location.href = "https://host.example/ui/#/runs";
  vi.stubGlobal("fetch", async (request: Request | string) => {
    const url = new URL(request instanceof Request ? request.url : request, window.location.href);
    requests.push(url);
    if (url.pathname.endsWith("/runs/changes")) {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          feed = controller;
        },
      });
      return new Response(body, { status: 200 });
    }
    return new Response(JSON.stringify(answerTo(url)), { status: 200 });
  });
});

afterEach(() => {
  cleanup();
  closeFeed?.();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function Page() {
  useRereadAfterGaps();
  return <RunsPage />;
}

function show() {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(
    <QueryClientProvider client={client}>
      <Router hook={useHashLocation} searchHook={useHashSearch}>
        <Page />
      </Router>
    </QueryClientProvider>,
  );
}

test("active runs stand before finished ones, with counts and sums", async () => {
  runs = [completedRun(), runOf()];
  show();
  await screen.findByText("Where is my order 4417?", { selector: "tbody:nth-of-type(1) a" });
  const rows = screen.getAllByRole("row").map((row) => row.textContent);
  expect(rows[1]).toBe("Active");
  expect(rows[2]).toContain("Running");
  expect(rows[2]).toContain("Support desk · by mara");
  expect(rows[3]).toBe("Finished");
  expect(rows[4]).toContain("Delivered on 12 November.");
  expect((await screen.findByRole("button", { name: "All 2" })).getAttribute("aria-pressed")).toBe("true");
  expect(screen.getByText("11,744 tokens")).toBeTruthy();
  expect(document.title).toBe("Runs · musterd");
});

test("a chip filters, and stands in the URL", async () => {
  runs = [completedRun(), runOf()];
  show();
  (await screen.findByRole("button", { name: /^Failed/ })).click();
  expect(window.location.hash).toBe("#/runs?state=failed");
  await screen.findByText("No failed runs");
  const listed = requests.filter((url) => url.pathname.endsWith("/runs")).at(-1);
  expect(listed?.searchParams.getAll("status")).toEqual(["ERROR"]);
  screen.getByRole("button", { name: "Clear filters" }).click();
  expect(window.location.hash).toBe("#/runs");
});

const statusOf = (request: string) => screen.findByText(request).then((link) => link.closest("tr")?.textContent);

test("a filter that is chosen again shows runs as they are now", async () => {
  runs = [runOf()];
  closeFeed = startFeed();
  show();
  await waitFor(() => expect(feed).toBeDefined());
  expect(await statusOf("Where is my order 4417?")).toContain("Running");
  runs = [completedRun({ run_id: "run-1" })];
  tell(completedRun({ run_id: "run-1" }));
  await waitFor(async () => expect(await statusOf("Where is my order 4417?")).toContain("Completed"));
  screen.getByRole("button", { name: /^Failed/ }).click();
  await screen.findByText("No failed runs");
  screen.getByRole("button", { name: /^All/ }).click();
  await waitFor(async () => expect(await statusOf("Where is my order 4417?")).toContain("Completed"));
});

test("what the feed cannot tell is read again when it begins, and after too many changes", async () => {
  runs = [runOf(), runOf({ run_id: "run-2", input: "And order 4418?", created_at: 900 })];
  closeFeed = startFeed();
  show();
  await waitFor(() => expect(feed).toBeDefined());
  expect(await statusOf("Where is my order 4417?")).toContain("Running");
  runs = [completedRun({ run_id: "run-1" }), ...runs.slice(1)];
  greet(true);
  await waitFor(async () => expect(await statusOf("Where is my order 4417?")).toContain("Completed"));
  expect(await statusOf("And order 4418?")).toContain("Running");

  const ended = completedRun({ run_id: "run-2", input: "And order 4418?", created_at: 900 });
  const missed = completedRun({ run_id: "run-3", input: "And 4419?", created_at: 1_100 });
  runs = [missed, ...runs.slice(0, 1), ended];
  requests.length = 0;
  greet(true);
  tell(missed);
  await screen.findByRole("button", { name: "1 new run" });
  expect(requests.filter((url) => url.pathname.endsWith("/runs"))).toEqual([]);
  greet(false);
  await waitFor(async () => expect(await statusOf("And order 4418?")).toContain("Completed"));
  await screen.findByText("And 4419?");
  expect(screen.queryByRole("button", { name: "1 new run" })).toBeNull();
});

test("an answer that was on its way when the feed began is not taken", async () => {
  runs = [runOf()];
  const answerNow = globalThis.fetch;
  let answerLate = () => {};
  const isLate = new Promise<void>((resolve) => {
    answerLate = resolve;
  });
  vi.stubGlobal("fetch", async (request: Request | string) => {
    const answer = await answerNow(request);
    if (request instanceof Request && request.url.includes("/runs?") && runs[0]?.status === "RUNNING") await isLate;
    return answer;
  });
  closeFeed = startFeed();
  show();
  await waitFor(() => expect(requests.filter((url) => url.searchParams.has("status")).length).toBe(4));
  await waitFor(() => expect(feed).toBeDefined());
  runs = [completedRun({ run_id: "run-1" })];
  greet(true);
  await waitFor(() => expect(requests.filter((url) => url.searchParams.has("status")).length).toBeGreaterThan(4));
  answerLate();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await statusOf("Where is my order 4417?")).toContain("Completed");
});

test("a time until now is counted from now whenever the runs are read again", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_700_000_000_000 });
  runs = [completedRun()];
  window.location.hash = "#/runs?since=hour";
  closeFeed = startFeed();
  show();
  await screen.findByText("1 run shown");
  await waitFor(() => expect(feed).toBeDefined());
  vi.setSystemTime(1_700_007_200_000);
  requests.length = 0;
  tell(completedRun({ run_id: "run-2", created_at: 1_700_007_100 }));
  (await screen.findByRole("button", { name: "1 new run" })).click();
  await waitFor(() => expect(requests.some((url) => url.pathname.endsWith("/runs"))).toBe(true));
  const created = requests.map((url) => url.searchParams.get("created_after"));
  expect(new Set(created.filter((time) => time !== null))).toEqual(new Set(["1700003600"]));
});

test("without any run the page says what to do", async () => {
  runs = [];
  show();
  await screen.findByText("No runs yet");
  await waitFor(() => expect(screen.getAllByRole("button", { name: "Start a run" }).length).toBe(1));
  (await screen.findByRole("button", { name: "Copy as curl" })).click();
  const command = await screen.findByLabelText("Command", {}, { timeout: 10_000 });
  expect(command.textContent).toContain("/teams/support-desk/runs'");
});

const numbered = (count: number, change: Partial<RunSummary> = {}) =>
  Array.from({ length: count }, (_, i) =>
    runOf({ run_id: `run-${i}`, input: `Order ${i}`, created_at: 9_000 - i, ...change }),
  );

test("active runs beyond the first page are listed one page further", async () => {
  runs = [...numbered(150), completedRun({ run_id: "ended" })];
  show();
  await screen.findByText("101 runs shown");
  screen.getByRole("button", { name: "Show older active runs" }).click();
  await screen.findByText("151 runs shown");
  expect(screen.getByText("Order 149")).toBeTruthy();
  expect(screen.queryByRole("button", { name: "Show older active runs" })).toBeNull();
});

test("runs that need a person stand above those at work, and these above the queue, though it fills a page", async () => {
  runs = [
    ...numbered(150, { status: "PENDING" }),
    runOf({ run_id: "works", input: "Works", created_at: 100 }),
    runOf({ run_id: "asks", input: "Works and asks", created_at: 90, waiting: 1 }),
    runOf({ run_id: "waits", input: "Waits", created_at: 80, status: "PAUSED", waiting: 1 }),
  ];
  closeFeed = startFeed();
  show();
  await screen.findByText("103 runs shown");
  await waitFor(() => expect(feed).toBeDefined());
  const first = () => [...document.querySelectorAll("a[data-row]")].slice(0, 4).map((link) => link.textContent);
  expect(first()).toEqual(["Works and asks", "Waits", "Works", "Order 0"]);
  tell(runOf({ run_id: "run-120", input: "Order 120", created_at: 9_000 - 120 }));
  tell(runOf({ run_id: "run-0", input: "Order 0", created_at: 9_000 }));
  // A run that has left the part of the queue which is not listed stands among those at work once it is asked for.
  const button = await screen.findByRole("button", { name: "1 new run" });
  expect(first()).toEqual(["Works and asks", "Waits", "Works", "Order 0"]);
  for (const run of runs) if (["run-0", "run-120"].includes(run.run_id)) run.status = "RUNNING";
  button.click();
  await waitFor(() => expect(first()).toEqual(["Works and asks", "Waits", "Order 0", "Order 120"]));
});

test("a chip of active runs lists those beyond the first page too", async () => {
  runs = numbered(150);
  window.location.hash = "#/runs?state=running";
  show();
  (await screen.findByRole("button", { name: "Show older active runs" })).click();
  await screen.findByText("150 runs shown");
});

test("finished runs are listed one page further", async () => {
  runs = numbered(60, { status: "COMPLETED", ended_at: 9_001 });
  show();
  await screen.findByText("50 runs shown");
  screen.getByRole("button", { name: "Show older runs" }).click();
  await screen.findByText("60 runs shown");
});

test("a run of a page that is not listed yet is not announced as new", async () => {
  runs = numbered(150);
  closeFeed = startFeed();
  show();
  await screen.findByText("100 runs shown");
  await waitFor(() => expect(feed).toBeDefined());
  tell(runOf({ run_id: "run-149", created_at: 9_000 - 149, attempts: 2 }));
  tell(runOf({ run_id: "run-new", created_at: 9_001 }));
  await screen.findByRole("button", { name: "1 new run" });
  // But it is once it needs a person: the page lists all runs that do.
  tell(runOf({ run_id: "run-148", created_at: 9_000 - 148, waiting: 1 }));
  await screen.findByRole("button", { name: "2 new runs" });
});

test("a search goes on with older runs, though there is none among the newest", async () => {
  runs = [];
  const hit = completedRun({ input: "Where is parcel 17?", outcome: "In Hamburg." });
  searched = { "": { data: [], next: "5000" }, "5000": { data: [hit], next: null } };
  window.location.hash = "#/runs?q=parcel";
  show();
  await screen.findByText("No runs with “parcel” so far");
  screen.getByRole("button", { name: "Search older runs" }).click();
  await screen.findByText("Where is parcel 17?");
  expect(screen.queryByText(/^No runs/)).toBeNull();
});

test("a search that has come to its end says so", async () => {
  runs = [];
  searched = { "": { data: [], next: "5000" }, "5000": { data: [], next: null } };
  window.location.hash = "#/runs?q=parcel&team=workflow:article";
  show();
  await screen.findByText("No runs of Article with “parcel” so far");
  screen.getByRole("button", { name: "Search older runs" }).click();
  await screen.findByText("No runs of Article with “parcel”");
});
