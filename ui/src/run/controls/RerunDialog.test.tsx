import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { StartContext } from "../../app/startContext";
import { fakeServer, renderPage } from "../../approvals/testing";
import { runDetail } from "../fixtures";
import { useRunActions } from "./actions";
import { RerunDialog } from "./RerunDialog";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const RUN = runDetail({ status: "COMPLETED" });

function Asked({ onClose }: { onClose: () => void }) {
  return <RerunDialog run={RUN} actions={useRunActions(RUN)} onClose={onClose} />;
}

test("a run is made again only after a person has seen what is sent", async () => {
  const receipt = { run_id: "r2", session_id: "mara", status: "PENDING" };
  const requests = fakeServer({ "POST /runs/run-4417/rerun": receipt });
  const onClose = vi.fn();
  renderPage(<Asked onClose={onClose} />);
  expect(screen.getByText(/^Where is my order 4417\?/)).toBeTruthy();
  expect(requests).toEqual([]);
  fireEvent.click(screen.getByText("Run again"));
  await waitFor(() => expect(requests.map((request) => request.path)).toEqual(["/runs/run-4417/rerun"]));
  expect(onClose).toHaveBeenCalled();
});

test("the message can be changed first: the start form has it, with the session and the user", () => {
  const requests = fakeServer({});
  const startRun = vi.fn();
  renderPage(
    <StartContext.Provider value={startRun}>
      <Asked onClose={() => undefined} />
    </StartContext.Provider>,
  );
  fireEvent.click(screen.getByText("Change the message"));
  const message = "Where is my order 4417? I have waited nine days. Please fix it today.";
  expect(startRun).toHaveBeenCalledWith("support", { message, sessionId: "mara", userId: "mara" });
  expect(requests).toEqual([]);
});
