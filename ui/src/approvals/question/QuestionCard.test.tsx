import { cleanup, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, it, vi } from "vitest";
import type { Approval } from "../approval";
import { DEPLOY, NEWSLETTER, REFUND } from "../fixtures";
import { fakeServer, press, renderPage } from "../testing";
import { QuestionCards } from "./QuestionCard";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function show(...approvals: Approval[]) {
  const requests = fakeServer(
    Object.fromEntries(
      approvals.map((one) => [`POST /approvals/${one.id}/resolve`, { ...one, status: "approved", resolved_by: "Ida" }]),
    ),
  );
  renderPage(<QuestionCards approvals={approvals} />);
  return () => requests.filter((request) => request.method === "POST").map((request) => request.path);
}

it("approves the only question with a", async () => {
  const decided = show(REFUND);
  await press("a");
  await waitFor(() => expect(decided()).toEqual(["/approvals/ap-refund/resolve"]));
});

it("opens the note of the only question with r", async () => {
  const decided = show(REFUND);
  await press("r");
  expect(await screen.findByLabelText(/^Note/)).toBeTruthy();
  await press("a");
  expect(decided()).toEqual([]);
});

it("acts on the question with the focus if there are several", async () => {
  const second: Approval = { ...REFUND, id: "ap-second" };
  const decided = show(REFUND, second);
  await press("a");
  await press("r");
  expect(screen.queryByLabelText(/^Note/)).toBeNull();
  screen.getAllByText("Approve")[1]?.closest("button")?.focus();
  await press("a");
  await waitFor(() => expect(decided()).toEqual(["/approvals/ap-second/resolve"]));
});

it("does nothing about a question that has been decided, or next to one", async () => {
  const decided = show({ ...DEPLOY, status: "approved", resolved_at: Date.now() / 1000 }, REFUND);
  await press("a");
  expect(screen.getByText("Approve")).toBeTruthy();
  expect(decided()).toEqual([]);
});

it("has no key for a call whose outcome is unknown", async () => {
  const decided = show(NEWSLETTER);
  await press("a");
  await press("r");
  expect(screen.getByText("Make the call again")).toBeTruthy();
  expect(decided()).toEqual([]);
});
