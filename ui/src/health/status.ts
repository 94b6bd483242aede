/** The state of the server, as `GET /-/status` and `GET /-/ready` tell it. */

export interface Check {
  name: string;
  ok: boolean;
  problem: string | null;
}

export interface ServerProcess {
  id: string;
  /** Whether it is the process that answered. */
  is_this: boolean;
  version: string;
  /** `server`: answers and drives runs; `worker`: drives runs; `api`: answers. */
  role: string;
  host: string;
  pid: number;
  started_at: number;
  last_beat_at: number | null;
  runs: number;
}

/** A model in use, and its calls by the process that answered since it started. */
export interface ModelFigures {
  id: string;
  provider: string;
  calls: number;
  failed: number;
  retries: number;
  tokens: number;
  cost: number | null;
  first_token_seconds: number | null;
}

export interface QueueFigures {
  ready: number;
  queued: number;
  scheduled: number;
  paused: number;
  running: number;
  oldest_wait_seconds: number;
  /** Calls that wait for a person. */
  approvals: number;
}

export interface DatabaseFigures {
  kind: string;
  is_up: boolean;
  version: string | null;
  size_bytes: number | null;
  schema: string | null;
  commit_seconds: number | null;
}

export interface UpkeepFigures {
  last_done_at: number | null;
  /** Runs taken over from dead processes. */
  reassigned: number;
  /** Runs and sessions removed because they were old. */
  removed: number;
  retention_days: number | null;
}

export interface ServerStatus {
  version: string;
  started_at: number;
  now: number;
  checks: Check[];
  processes: ServerProcess[];
  slots: { used: number; limit: number };
  /** Null if the database cannot be read now. */
  queue: QueueFigures | null;
  database: DatabaseFigures;
  upkeep: UpkeepFigures;
  models: ModelFigures[];
  streams_open: number;
  event_loop_lag_seconds: number;
}

/** What `GET /-/ready` tells everybody, also with 503. */
export interface Readiness {
  status?: string;
  detail?: string;
  checks: Record<string, string>;
}

export function checksOf(readiness: Readiness): Check[] {
  return Object.entries(readiness.checks).map(([name, state]) => ({
    name,
    ok: state === "ok",
    problem: state === "ok" ? null : state,
  }));
}
