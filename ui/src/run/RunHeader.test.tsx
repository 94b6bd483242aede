import { cleanup, fireEvent, screen } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { fakeServer, renderPage } from "../approvals/testing";
import { useRunActions } from "./controls/actions";
import { memberRun, runDetail } from "./fixtures";
import { RunHeader } from "./RunHeader";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const RUN = runDetail();

function Header({ run = RUN }) {
  const actions = useRunActions(run);
  return (
    <>
      <button type="button" onClick={() => actions.message.mutate({ text: "Use express", memberRunId: null })}>
        Send it
      </button>
      <RunHeader run={run} actions={actions} onRerun={() => undefined} hasCards={false} />
    </>
  );
}

test("a message that was not sent is told, also once its dialog is closed", async () => {
  fakeServer({ "POST /runs/run-4417/messages": () => ({ status: 503, body: { detail: "The database is away." } }) });
  renderPage(<Header />);
  fireEvent.click(screen.getByText("Send it"));
  expect(await screen.findByText("The message was not sent. The database is away.")).toBeTruthy();
});

test("a run that completed without some of its members says so", () => {
  const run = runDetail({
    status: "COMPLETED",
    members: [memberRun("a", "Orders"), memberRun("b", "Shipping", { status: "ERROR" })],
  });
  fakeServer({});
  renderPage(<Header run={run} />);
  expect(screen.getByText("Completed")).toBeTruthy();
  expect(screen.getByText("1 member failed")).toBeTruthy();
});
