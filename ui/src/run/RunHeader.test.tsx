import { cleanup, fireEvent, screen } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { fakeServer, renderPage } from "../approvals/testing";
import { useRunActions } from "./controls/actions";
import { runDetail } from "./fixtures";
import { RunHeader } from "./RunHeader";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const RUN = runDetail();

function Header() {
  const actions = useRunActions(RUN);
  return (
    <>
      <button type="button" onClick={() => actions.message.mutate({ text: "Use express", memberRunId: null })}>
        Send it
      </button>
      <RunHeader run={RUN} actions={actions} onRerun={() => undefined} hasCards={false} />
    </>
  );
}

test("a message that was not sent is told, also once its dialog is closed", async () => {
  fakeServer({ "POST /runs/run-4417/messages": () => ({ status: 503, body: { detail: "The database is away." } }) });
  renderPage(<Header />);
  fireEvent.click(screen.getByText("Send it"));
  expect(await screen.findByText("The message was not sent. The database is away.")).toBeTruthy();
});
