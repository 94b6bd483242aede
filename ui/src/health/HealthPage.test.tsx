import { cleanup, screen, waitFor } from "@testing-library/preact";
import { afterEach, describe, expect, it, vi } from "vitest";
import { fakeServer, renderPage } from "../approvals/testing";
import HealthPage from "./HealthPage";
import type { ServerStatus } from "./status";

const STATUS: ServerStatus = {
  version: "0.1.0",
  started_at: 1000,
  now: 2000,
  checks: [{ name: "accepting", ok: true, problem: null }],
  processes: [],
  slots: { used: 1, limit: 32 },
  queue: null,
  database: { kind: "sqlite", is_up: false, version: null, size_bytes: null, schema: null, commit_seconds: null },
  upkeep: { last_done_at: null, reassigned: 0, removed: 0, retention_days: 30 },
  models: [],
  streams_open: 1,
  event_loop_lag_seconds: 0,
};

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const heading = () => screen.getByRole("heading", { level: 1 }).textContent;

describe("the health page", () => {
  it("shows what is known while the database is away", async () => {
    fakeServer({ "GET /-/status": STATUS });
    renderPage(<HealthPage />);
    await screen.findByText("of 32 slots");
    expect(heading()).toBe("Everything is working");
    expect(screen.getByText("removed after 30 days")).toBeTruthy();
  });

  it("counts the runs and sessions of teams, agents and workflows", async () => {
    const day = {
      date: `${new Date().toISOString().slice(0, 10)}T00:00:00Z`,
      team_runs_count: 1,
      agent_runs_count: 20,
      workflow_runs_count: 300,
      team_sessions_count: 1,
      agent_sessions_count: 10,
      workflow_sessions_count: 100,
      users_count: 2,
      token_metrics: { total_tokens: 5 },
    };
    fakeServer({ "GET /-/status": STATUS, "GET /metrics": { metrics: [day] } });
    renderPage(<HealthPage />);
    const today = await screen.findByRole("region", { name: /^Today/ });
    expect(today.textContent).toContain("Runs321Sessions111");
  });

  it("says that the server does not answer, and keeps the last answer", async () => {
    let isAway = false;
    const away = { status: 503, body: { detail: "The server is stopping." } };
    fakeServer({ "GET /-/status": () => (isAway ? away : { body: STATUS }) });
    vi.useFakeTimers({ shouldAdvanceTime: true });
    renderPage(<HealthPage />);
    await screen.findByText("of 32 slots");
    isAway = true;
    await vi.advanceTimersByTimeAsync(6_000);
    await waitFor(() => expect(heading()).toBe("The server does not answer"));
    expect(screen.getByText(/^The server is stopping. The figures are from/)).toBeTruthy();
    expect(screen.getByText("of 32 slots")).toBeTruthy();
  });

  it("shows the checks to a key without the scope, also those that fail", async () => {
    const checks = { accepting: "ok", database: "The database cannot be used now." };
    fakeServer({
      "GET /-/status": () => ({ status: 403, body: { detail: "Insufficient permissions" } }),
      "GET /-/ready": () => ({ status: 503, body: { detail: "Not ready", checks } }),
    });
    renderPage(<HealthPage />);
    await screen.findByText("Your key shows the checks only. An administrator sees work, models and processes too.");
    expect(heading()).toBe("One check fails");
  });

  it("keeps the checks while a key without the scope is asked about again", async () => {
    let requests = 0;
    const refusal = { status: 403, body: { detail: "Insufficient permissions" } };
    fakeServer({
      "GET /-/status": () => (++requests === 1 ? refusal : new Promise<never>(() => undefined)),
      "GET /-/ready": { checks: { accepting: "ok" } },
    });
    renderPage(<HealthPage />);
    await screen.findByText(/^Your key shows the checks only/);
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 60_000); // the answer is old
    window.dispatchEvent(new Event("visibilitychange"));
    await waitFor(() => expect(requests).toBe(2));
    expect(screen.getByText(/^Your key shows the checks only/)).toBeTruthy();
  });
});
