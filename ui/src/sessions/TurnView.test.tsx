import { cleanup, screen } from "@testing-library/preact";
import { afterEach, expect, it, vi } from "vitest";
import { REFUND } from "../approvals/fixtures";
import { fakeServer, renderPage } from "../approvals/testing";
import { LiveTexts } from "./liveText";
import type { SessionRun } from "./session";
import { TurnView } from "./TurnView";
import { toTurns } from "./turns";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const RUN: SessionRun = {
  run_id: "run-1",
  parent_run_id: "",
  status: "COMPLETED",
  run_input: "Where is my order?",
  content: "It is lost.",
  created_at: "2026-11-27T00:47:13Z",
};

function show(changes: Partial<SessionRun>, members: SessionRun[] = []): void {
  for (const turn of toTurns([...members, { ...RUN, ...changes }], [])) {
    renderPage(<TurnView turn={turn} texts={new LiveTexts()} />);
  }
}

it("says who decided about a call", async () => {
  const approved = { ...REFUND, status: "approved", resolved_by: "Ida", resolved_at: 1_000_100 };
  fakeServer({ "GET /approvals": { data: [approved], meta: {} } });
  show({ tools: [{ tool_name: "refund_payment", confirmed: true, approval_id: "ap-refund" }] });
  expect(await screen.findByText("refund_payment approved by Ida")).toBeTruthy();
});

it("names the members that failed", async () => {
  const members = [
    { run_id: "m1", name: "Carrier", status: "ERROR" },
    { run_id: "m2", name: "Orders", status: "COMPLETED" },
  ];
  fakeServer({ "GET /runs/run-1": { members } });
  show({}, [{ ...RUN, run_id: "m1", parent_run_id: "run-1", status: "ERROR" }]);
  expect(screen.getByText("1 member failed")).toBeTruthy();
  expect(await screen.findByText("Carrier failed")).toBeTruthy();
});
