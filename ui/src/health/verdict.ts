/** One sentence about the server: it works, or what does not. */

import type { Check, ServerProcess, ServerStatus } from "./status";

const STALE_SECONDS = 30;
const LONG_WAIT_SECONDS = 60;

/** What waits for a slot is work: the colour of waiting is for persons. */
export type Tone = "ok" | "run" | "fail";

export interface Verdict {
  tone: Tone;
  title: string;
  detail: string;
}

export const CHECK_NAMES: Record<string, string> = {
  accepting: "Accepts runs",
  worker: "Worker",
  beats: "Heartbeats",
  event_loop: "Event loop",
  database: "Database",
  schema: "Database schema",
  served: "Declared teams and agents",
};

export function checkName(check: Check): string {
  return CHECK_NAMES[check.name] ?? check.name.replaceAll("_", " ");
}

export function verdictOf(checks: readonly Check[], status: ServerStatus | undefined): Verdict {
  const failing = checks.filter((check) => !check.ok);
  if (failing.length > 0) {
    const title = failing.length === 1 ? "One check fails" : `${failing.length} checks fail`;
    const detail = failing.map((check) => `${checkName(check)}: ${check.problem ?? "failing"}`).join(" ");
    return { tone: "fail", title, detail };
  }
  if (status === undefined) return { tone: "ok", title: "Everything is working", detail: "All checks pass." };
  const wait = status.queue?.oldest_wait_seconds ?? 0;
  if (wait > LONG_WAIT_SECONDS && (status.queue?.ready ?? 0) > 0) {
    const waiting = status.queue?.ready ?? 0;
    const runs = waiting === 1 ? "One run is" : `${waiting} runs are`;
    return {
      tone: "run",
      title: "Runs are waiting for a free slot",
      detail: `${runs} ready to start. ${slotsText(status)}`,
    };
  }
  return { tone: "ok", title: "Everything is working", detail: processesText(status) };
}

/** Whether the process has given no sign of life for a while. */
export function isStale(process: ServerProcess, now: number): boolean {
  return process.last_beat_at !== null && now - process.last_beat_at > STALE_SECONDS;
}

function slotsText({ slots }: ServerStatus): string {
  return `${slots.used} of ${slots.limit} slots are in use.`;
}

function processesText(status: ServerStatus): string {
  const stale = status.processes.filter((process) => isStale(process, status.now)).length;
  const alive = status.processes.length - stale;
  const sentences = [alive === 1 ? "One process is serving." : `${alive} processes are serving.`];
  if (stale > 0) sentences.push(stale === 1 ? "One has no heartbeat." : `${stale} have no heartbeat.`);
  const { reassigned } = status.upkeep;
  if (reassigned > 0)
    sentences.push(`${reassigned === 1 ? "One run was" : `${reassigned} runs were`} taken over from a dead process.`);
  return sentences.join(" ");
}
