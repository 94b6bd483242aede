import { cleanup, fireEvent, screen } from "@testing-library/preact";
import { afterEach, expect, it, vi } from "vitest";
import { isExact } from "../api/exactJson";
import { REFUND } from "../approvals/fixtures";
import { fakeServer, renderChanging, renderPage } from "../approvals/testing";
import { LiveTexts } from "./liveText";
import type { SessionRun } from "./session";
import { TurnView } from "./TurnView";
import { type Turn, toTurns } from "./turns";

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

it.runIf(isExact)("shows the large numbers of an answer as they are", () => {
  show({ content: { order: 1234567890123456789n } });
  expect(screen.getByLabelText("Answer").textContent).toContain("1234567890123456789");
});

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

/** Shows a turn that waits for a person; what is returned changes it. */
function showWaiting(): (changes: Partial<Turn>) => void {
  const turns = toTurns([{ ...RUN, status: "PAUSED" }], []).map((turn) => ({ ...turn, waiting: 1 }));
  const texts = new LiveTexts();
  const change = renderChanging(turns, (current) =>
    current.map((turn) => <TurnView key={turn.runId} turn={turn} texts={texts} />),
  );
  return (changes) => change((before) => before.map((turn) => ({ ...turn, ...changes })));
}

it("keeps a question that was open, and says that a decision was not used", async () => {
  let shown: unknown = REFUND;
  fakeServer({
    "GET /approvals": () => ({ body: { data: [shown], meta: {} } }),
    "POST /approvals/ap-refund/resolve": () => {
      shown = { ...REFUND, status: "approved", resolved_by: "Ida", resolved_at: 1_000_100 };
      return { status: 409, body: { detail: "It is decided." } };
    },
  });
  const change = showWaiting();
  fireEvent.click(await screen.findByText("Reject…"));
  fireEvent.click(screen.getByText("Reject"));
  expect(await screen.findByText("Your rejection was not used.")).toBeTruthy();
  change({ status: "COMPLETED", waiting: 0 });
  expect(screen.getByText("Approved by Ida")).toBeTruthy();
});

it("says why a question cannot be read, and reads it on request", async () => {
  let isAway = true;
  fakeServer({
    "GET /approvals": () =>
      isAway ? { status: 503, body: { detail: "The database is away." } } : { body: { data: [REFUND], meta: {} } },
  });
  showWaiting();
  expect(await screen.findByText(/The database is away/)).toBeTruthy();
  isAway = false;
  fireEvent.click(screen.getByText("Try again"));
  expect(await screen.findByText("Approve")).toBeTruthy();
});
