import { describe, expect, it } from "vitest";
import { type Check, checksOf, type ServerProcess, type ServerStatus } from "./status";
import { isStale, verdictOf } from "./verdict";

const CHECKS: Check[] = [
  { name: "accepting", ok: true, problem: null },
  { name: "database", ok: true, problem: null },
];

const PROCESS: ServerProcess = {
  id: "",
  is_this: false,
  version: "0.1.0",
  role: "server",
  host: "app-1",
  pid: 12,
  started_at: 1000,
  last_beat_at: null,
  runs: 0,
};

const STATUS: ServerStatus = {
  version: "0.1.0",
  started_at: 1000,
  now: 2000,
  checks: CHECKS,
  processes: [
    { ...PROCESS, id: "1e2a3878", is_this: true, last_beat_at: 1999, runs: 1 },
    { ...PROCESS, id: "a109fc17", last_beat_at: 1800 },
  ],
  slots: { used: 32, limit: 32 },
  queue: { ready: 0, queued: 0, scheduled: 0, paused: 4, running: 1, oldest_wait_seconds: 0, approvals: 4 },
  database: {
    kind: "sqlite",
    is_up: true,
    version: "3.46.1",
    size_bytes: 4_500_000,
    schema: "0001",
    commit_seconds: 0.002,
  },
  upkeep: { last_done_at: null, reassigned: 0, removed: 0, retention_days: null },
  models: [],
  streams_open: 1,
  event_loop_lag_seconds: 0.003,
};

describe("the sentence about the server", () => {
  it("says that everything works, and how many processes serve", () => {
    expect(verdictOf(CHECKS, STATUS)).toEqual({
      tone: "ok",
      title: "Everything is working",
      detail: "One process is serving. One has no heartbeat.",
    });
    expect(verdictOf(CHECKS, undefined).detail).toBe("All checks pass.");
    const upkeep = { ...STATUS.upkeep, reassigned: 2 };
    expect(verdictOf(CHECKS, { ...STATUS, upkeep }).detail).toContain("2 runs were taken over from a dead process.");
  });

  it("names the checks that fail", () => {
    const checks = checksOf({ checks: { accepting: "ok", database: "The database cannot be used now." } });
    expect(verdictOf(checks, STATUS)).toEqual({
      tone: "fail",
      title: "One check fails",
      detail: "Database: The database cannot be used now.",
    });
  });

  it("says that runs have waited long for a slot", () => {
    const queue = { ready: 3, queued: 0, scheduled: 0, paused: 0, running: 32, oldest_wait_seconds: 90, approvals: 0 };
    expect(verdictOf(CHECKS, { ...STATUS, queue })).toEqual({
      tone: "run",
      title: "Runs are waiting for a free slot",
      detail: "3 runs are ready to start. 32 of 32 slots are in use.",
    });
  });

  it("counts a process without a sign of life as stopped", () => {
    const [alive, gone] = STATUS.processes;
    expect(alive && isStale(alive, STATUS.now)).toBe(false);
    expect(gone && isStale(gone, STATUS.now)).toBe(true);
  });
});
