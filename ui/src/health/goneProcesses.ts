/** Processes that have left the server's list: the one that notices a dead process removes it there. */
import type { ServerProcess } from "./status";

const MOST = 5;
const seen = new Map<string, ServerProcess>();

/** The processes that were listed since the page was opened, and are not any more, as they were last seen. */
export function goneProcesses(listed: readonly ServerProcess[]): ServerProcess[] {
  for (const process of listed) seen.set(process.id, process);
  const ids = new Set(listed.map((process) => process.id));
  return [...seen.values()].filter((process) => !ids.has(process.id)).slice(-MOST);
}
