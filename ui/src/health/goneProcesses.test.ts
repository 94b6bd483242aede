import { expect, it } from "vitest";
import { goneProcesses } from "./goneProcesses";
import type { ServerProcess } from "./status";

const process = (id: string, beat: number): ServerProcess => ({
  id,
  is_this: false,
  version: "0.1.0",
  role: "worker",
  host: "app-1",
  pid: 12,
  started_at: 1000,
  last_beat_at: beat,
  runs: 0,
});

it("keeps processes that have left the list, until they are back", () => {
  expect(goneProcesses([process("a", 1), process("b", 1)])).toEqual([]);
  expect(goneProcesses([process("a", 2), process("b", 2)])).toEqual([]);
  expect(goneProcesses([process("a", 3)])).toEqual([process("b", 2)]);
  expect(goneProcesses([process("a", 4), process("b", 4)])).toEqual([]);
});
