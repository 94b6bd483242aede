import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Router } from "wouter";
import type { RunSummary } from "../api/types";
import { useHashLocation, useHashSearch } from "../app/hashLocation";
import { completedRun, runOf } from "./fixtures";
import { RunsPage } from "./RunsPage";

const requests: URL[] = [];
let runs: RunSummary[] = [];

function answerTo(url: URL): unknown {
  if (url.pathname.endsWith("/teams")) return [{ id: "support-desk", name: "Support desk" }];
  if (/\/(agents|workflows)$/.test(url.pathname)) return [];
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
  const data = runs.filter((run) => statuses.length === 0 || statuses.includes(run.status));
  return { data, meta: { limit: 50, next_cursor: null } };
}

beforeEach(() => {
  requests.length = 0;
  window.location.href = "https://host.example/ui/#/runs";
  vi.stubGlobal("fetch", async (request: Request) => {
    const url = new URL(request.url);
    requests.push(url);
    return new Response(JSON.stringify(answerTo(url)), { status: 200 });
  });
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function show() {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  return render(
    <QueryClientProvider client={client}>
      <Router hook={useHashLocation} searchHook={useHashSearch}>
        <RunsPage />
      </Router>
    </QueryClientProvider>,
  );
}

test("active runs stand before finished ones, with counts and sums", async () => {
  runs = [completedRun(), runOf({ attempts: 2 })];
  show();
  await screen.findByText("Where is my order 4417?", { selector: "tbody:nth-of-type(1) a" });
  const rows = screen.getAllByRole("row").map((row) => row.textContent);
  expect(rows[1]).toBe("Active");
  expect(rows[2]).toContain("Running");
  expect(rows[2]).toContain("Support desk · by mara · attempt 2");
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

test("without any run the page says what to do", async () => {
  runs = [];
  show();
  await screen.findByText("No runs yet");
  await waitFor(() => expect(screen.getAllByRole("button", { name: "Start a run" }).length).toBe(1));
});
