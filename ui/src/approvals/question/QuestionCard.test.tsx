import { cleanup, fireEvent, renderHook, screen, waitFor } from "@testing-library/preact";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Approval, ResolutionData } from "../approval";
import { CHECK_IN, DEPLOY, FORM, NEWSLETTER, REFUND, ROUTE } from "../fixtures";
import { type FakeAnswer, fakeServer, press, renderChanging, renderPage, type SentRequest } from "../testing";
import { QuestionCards } from "./QuestionCard";
import { useSeenQuestions } from "./useSeenQuestions";

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

it("lets a person click the step that a router runs", async () => {
  const requests = fakeServer({ "POST /approvals/ap-route/resolve": { ...ROUTE, status: "approved" } });
  renderPage(<QuestionCards approvals={[ROUTE]} />);
  expect(screen.getByText("A note on kettles.")).toBeTruthy();
  fireEvent.click(screen.getByText("Send"));
  expect(await screen.findByText("Choose an answer.")).toBeTruthy();
  fireEvent.click(screen.getByLabelText("phone"));
  fireEvent.click(screen.getByLabelText("letter"));
  fireEvent.click(screen.getByText("Send"));
  await waitFor(() => expect(bodies(requests)).toEqual([answer({ selected_choices: ["letter"] })]));
});

it("sends several steps of a router in the order in which they were chosen", async () => {
  const step = { ...ROUTE.context?.step, step_name: "answer by", allow_multiple_selections: true };
  const several: Approval = { ...ROUTE, context: { step } };
  const requests = fakeServer({ "POST /approvals/ap-route/resolve": { ...several, status: "approved" } });
  renderPage(<QuestionCards approvals={[several]} />);
  for (const label of ["mail", "phone", "letter", "phone"]) fireEvent.click(screen.getByLabelText(label));
  fireEvent.click(screen.getByText("Send"));
  await waitFor(() => expect(bodies(requests)).toEqual([answer({ selected_choices: ["mail", "letter"] })]));
});

it("offers the values that a field of a step accepts", async () => {
  const requests = fakeServer({ "POST /approvals/ap-form/resolve": { ...FORM, status: "approved" } });
  renderPage(<QuestionCards approvals={[FORM]} />);
  const place = screen.getByLabelText<HTMLSelectElement>("place");
  expect([...place.options].map((option) => option.text)).toEqual(["Choose", "blog", "paper"]);
  place.selectedIndex = 2;
  fireEvent(place, new Event("change", { bubbles: true })); // the library fires `input` in its place
  fireEvent.click(screen.getByText("Send"));
  await waitFor(() => expect(bodies(requests)).toEqual([answer({ place: "paper" })]));
});

function bodies(requests: SentRequest[]): unknown[] {
  return requests.filter((request) => request.method === "POST").map((request) => request.body);
}

function answer(values: Record<string, unknown>) {
  return { status: "approved", resolution_data: { values } };
}

it("has no key for a call whose outcome is unknown", async () => {
  const decided = show(NEWSLETTER);
  await press("a");
  await press("r");
  expect(screen.getByText("Make the call again")).toBeTruthy();
  expect(decided()).toEqual([]);
});

it("sends with Ctrl Enter from a field or from the button that sends, and from no other button", async () => {
  const decided = show(REFUND, NEWSLETTER);
  const pressIn = (words: string) => fireEvent.keyDown(screen.getByText(words), { key: "Enter", ctrlKey: true });
  pressIn("Reject…");
  pressIn("It happened…");
  pressIn("Make the call again");
  pressIn("Approve");
  await waitFor(() => expect(decided().length).toBeGreaterThan(0));
  expect(decided()).toEqual(["/approvals/ap-refund/resolve"]);
});

it("lets Ctrl Enter on another button press that button", () => {
  const decided = show(REFUND);
  expect(fireEvent.keyDown(screen.getByText("Reject…"), { key: "Enter", ctrlKey: true })).toBe(true);
  expect(decided()).toEqual([]);
});

describe("a question that somebody else decides", () => {
  /** Shows a question; what is returned shows what became of it. */
  function follow(approval: Approval, answer: () => FakeAnswer) {
    fakeServer({ [`POST /approvals/${approval.id}/resolve`]: answer });
    const change = renderChanging(approval, (current) => <QuestionCards approvals={[current]} />);
    return (status: Approval["status"], data: ResolutionData | null = null) =>
      change((before) => ({ ...before, status, resolved_by: "Ida", resolution_data: data }));
  }

  const conflict = () => ({ status: 409, body: { detail: "It is decided." } });
  const enabled = () => waitFor(() => expect(screen.queryByText("Sending")).toBeNull());

  it("says that another result was not used", async () => {
    const become = follow(NEWSLETTER, conflict);
    fireEvent.click(screen.getByText("It happened…"));
    fireEvent.change(await screen.findByLabelText(/^Result/), { target: { value: "sent to 4812" } });
    fireEvent.click(screen.getByText("Send result"));
    await enabled();
    become("approved");
    expect(await screen.findByText("Your result was not used.")).toBeTruthy();
    expect(screen.getByText("Your result").parentElement?.textContent).toBe("Your result sent to 4812");
  });

  it("says nothing if it was decided in the same way", async () => {
    const become = follow(CHECK_IN, conflict);
    fireEvent.change(await screen.findByLabelText("bags"), { target: { value: "2" } });
    fireEvent.change(screen.getByLabelText("seat"), { target: { value: "12A" } });
    fireEvent.click(screen.getByText("Send"));
    await enabled();
    become("approved", { values: { bags: 2, seat: "12A" } });
    expect(await screen.findByText("Answered by Ida")).toBeTruthy();
    expect(screen.queryByText(/not used/)).toBeNull();
  });

  it("says that a decision that did not reach the server was not used", async () => {
    const become = follow(REFUND, () => {
      throw new TypeError("refused");
    });
    fireEvent.click(screen.getByText("Reject…"));
    fireEvent.change(await screen.findByLabelText(/^Note/), { target: { value: "Too much." } });
    fireEvent.click(screen.getByText("Reject"));
    expect(
      await screen.findByText("The server did not answer. Send your decision again: it counts once."),
    ).toBeTruthy();
    become("rejected", { note: "Not today." });
    expect(await screen.findByText("Your rejection was not used.")).toBeTruthy();
    expect(screen.getByText("Your note").parentElement?.textContent).toBe("Your note Too much.");
  });

  it("shows the note that was typed when the question expired", async () => {
    const become = follow(REFUND, conflict);
    fireEvent.click(screen.getByText("Reject…"));
    fireEvent.change(await screen.findByLabelText(/^Note/), { target: { value: "Too much." } });
    become("expired");
    expect(await screen.findByText("Expired without a decision")).toBeTruthy();
    expect(screen.getByText("Your note").parentElement?.textContent).toBe("Your note Too much.");
  });
});

it("keeps the questions that waited since the page was opened", () => {
  const { result, rerender } = renderHook((approvals: Approval[]) => useSeenQuestions(approvals), {
    initialProps: [REFUND, { ...DEPLOY, status: "approved" }] as Approval[],
  });
  expect(result.current).toEqual([REFUND]);
  const expired: Approval = { ...REFUND, status: "expired" };
  rerender([expired, NEWSLETTER]);
  expect(result.current).toEqual([expired, NEWSLETTER]);
});
