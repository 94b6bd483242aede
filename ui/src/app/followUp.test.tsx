import { act, cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { type ReactNode, useState } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { type FakeAnswer, fakeServer, renderPage } from "../approvals/testing";
import { useRunActions } from "../run/controls/actions";
import { runDetail } from "../run/fixtures";
import { StartForm } from "../start/StartForm";
import { NoticeList } from "./NoticeList";

afterEach(() => {
  for (const close of screen.queryAllByRole("button", { name: "Close" })) fireEvent.click(close);
  cleanup();
  vi.unstubAllGlobals();
});

const RUN = runDetail({ status: "COMPLETED" });
const ACCEPTED = { status: 202, body: { run_id: "r2", session_id: "s1", status: "PENDING" } };
const REFUSED = { status: 422, body: { detail: "The message is too long." } };

function Rerun() {
  const { rerun } = useRunActions(RUN);
  return (
    <button type="button" onClick={() => rerun.mutate()}>
      Go
    </button>
  );
}

/** What can be closed. */
function Closable({ children }: { children: ReactNode }) {
  const [isOpen, setOpen] = useState(true);
  return isOpen ? (
    <>
      {children}
      <button type="button" onClick={() => setOpen(false)}>
        Leave
      </button>
    </>
  ) : null;
}

/** Shows `page`, whose POSTs are answered with `reply` once `answer` is called. */
function show(page: ReactNode, reply: FakeAnswer) {
  let answer = () => {};
  const isHeld = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const path = ["POST /runs/run-4417/rerun", "POST /agents/travel/runs"];
  const requests = fakeServer(Object.fromEntries(path.map((one) => [one, () => reply])));
  const answerTo = globalThis.fetch;
  vi.stubGlobal("fetch", async (request: Request) => {
    const response = await answerTo(request);
    if (request.method === "POST") await isHeld;
    return response;
  });
  const content = (
    <>
      <NoticeList />
      <Closable>{page}</Closable>
    </>
  );
  renderPage(content, "#/runs/run-4417");
  const isSent = () => waitFor(() => expect(requests.some(({ method }) => method === "POST")).toBe(true));
  return { isSent, answer };
}

function goTo(hash: string) {
  act(() => {
    window.location.hash = hash;
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  });
}

test("the result of an action is opened where the reader waits for it", async () => {
  const { isSent, answer } = show(<Rerun />, ACCEPTED);
  fireEvent.click(screen.getByText("Go"));
  await isSent();
  answer();
  await waitFor(() => expect(window.location.hash).toBe("#/runs/r2"));
  expect(screen.queryByText("The run was started again.")).toBeNull();
});

test("a reader who has gone on is not led away, but told", async () => {
  const { isSent, answer } = show(<Rerun />, ACCEPTED);
  fireEvent.click(screen.getByText("Go"));
  await isSent();
  goTo("#/teams");
  answer();
  await screen.findByText(/^The run was started again\./);
  expect(window.location.hash).toBe("#/teams");
  fireEvent.click(screen.getByRole("link", { name: "Open" }));
  await waitFor(() => expect(window.location.hash).toBe("#/runs/r2"));
  expect(screen.queryByText(/^The run was started again\./)).toBeNull();
});

test.each([
  [ACCEPTED, /^The run has started\./],
  [REFUSED, /^The run was not started\. The message is too long\./],
])("a form that was closed tells the end of its start as a notice: %o", async (reply, words) => {
  const target = { kind: "agent", id: "travel" } as const;
  const { isSent, answer } = show(
    <StartForm draftKey={crypto.randomUUID()} target={target} component={{ id: "travel", name: "Travel" }} />,
    reply,
  );
  fireEvent.change(screen.getByLabelText("What should Travel do?"), { target: { value: "Check me in" } });
  fireEvent.click(screen.getByText("Start"));
  await isSent();
  fireEvent.click(screen.getByText("Leave"));
  answer();
  await screen.findByText(words);
  expect(window.location.hash).toBe("#/runs/run-4417");
});
