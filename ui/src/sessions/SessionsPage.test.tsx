import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { Route } from "wouter";
import { isExact } from "../api/exactJson";
import { type Answers, fakeServer, renderPage, type SentRequest } from "../approvals/testing";
import SessionsPage from "./SessionsPage";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const item = (id: string) => ({
  session_id: id,
  session_name: `Talk ${id}`,
  component_name: "Travel",
  updated_at: "2026-01-01T00:00:00Z",
  status: "COMPLETED",
  waiting: 0,
  total_tokens: 1200,
});

/** A server with these sessions, the first of them last used. */
function answersWith(ids: string[]): Answers {
  const answers: Answers = {
    "GET /sessions": () => ({
      body: { data: ids.map(item), meta: { page: 1, limit: 40, total_pages: 1, total_count: ids.length } },
    }),
    "GET /runs": { data: [], meta: { limit: 100, next_cursor: null } },
    "GET /teams": [],
    "GET /agents": [{ id: "travel", name: "Travel" }],
    "GET /workflows": [],
  };
  for (const id of ids) {
    answers[`GET /sessions/${id}`] = { session_id: id, session_name: `Talk ${id}`, agent_id: "travel", user_id: null };
    answers[`GET /sessions/${id}/runs`] = [];
  }
  return answers;
}

function showSessions(hash: string) {
  renderPage(<Route path="/sessions/:id?">{({ id }) => <SessionsPage sessionId={id ?? null} />}</Route>, hash);
}

test("the conversation stays if another session becomes the first of the list", async () => {
  const ids = ["a", "b"];
  fakeServer(answersWith(ids));
  showSessions("#/sessions?status=completed");
  const field = await screen.findByLabelText<HTMLTextAreaElement>("Message Travel");
  expect(window.location.hash).toBe("#/sessions/a?status=completed");
  fireEvent.input(field, { target: { value: "Where is" } });
  ids.reverse();
  fireEvent.input(screen.getByLabelText(/^Find sessions/), { target: { value: "tal" } });
  await waitFor(() => expect(screen.getAllByText(/^Talk/, { selector: "li b" })[0]?.textContent).toBe("Talk b"));
  expect(screen.getByLabelText<HTMLTextAreaElement>("Message Travel").value).toBe("Where is");
  expect(window.location.hash).toBe("#/sessions/a?status=completed&q=tal");
});

test("a session whose run asks while it works needs a person", async () => {
  const answers = answersWith(["a"]);
  const asking = { ...item("a"), status: "RUNNING", waiting: 1 };
  answers["GET /sessions"] = { data: [asking], meta: { page: 1, limit: 40, total_pages: 1, total_count: 1 } };
  fakeServer(answers);
  showSessions("#/sessions");
  const link = await screen.findByRole("link", { name: /Talk a/ });
  expect(link.textContent).toContain("Needs you");
});

test("the way back to the list keeps its filter", async () => {
  fakeServer(answersWith(["a"]));
  showSessions("#/sessions/a?q=talk&status=completed");
  const link = await screen.findByRole("link", { name: "All sessions" });
  expect(link.getAttribute("href")).toBe("#/sessions?q=talk&status=completed");
});

/** Opens the state of session "a", which is `state`, puts `text` in place of `part`, and saves it; the requests. */
async function saveState(state: unknown, part: string, text: string): Promise<SentRequest[]> {
  const session = { session_id: "a", session_name: "Talk a", agent_id: "travel", user_id: null, session_state: state };
  const requests = fakeServer({ ...answersWith(["a"]), "GET /sessions/a": session, "PATCH /sessions/a": session });
  showSessions("#/sessions/a");
  fireEvent.click(await screen.findByRole("button", { name: "Edit state" }));
  const field = screen.getByLabelText<HTMLTextAreaElement>(/^Runs of this session read it/);
  expect(field.value).toContain(part);
  fireEvent.input(field, { target: { value: field.value.replace(part, text) } });
  fireEvent.click(screen.getByRole("button", { name: "Save" }));
  return requests;
}

test.runIf(isExact)("large numbers of a state are shown and sent as they are", async () => {
  const order = 1234567890123456789n;
  const requests = await saveState(
    { order, seats: 1 },
    '"order": 1234567890123456789,',
    '"order": 1234567890123456789, "paid": true,',
  );
  const patch = () => requests.find(({ method }) => method === "PATCH");
  await waitFor(() => expect(patch()?.body).toEqual({ session_state: { order, paid: true, seats: 1 } }));
});

test.skipIf(isExact)("a state with a number that this browser rounds is not sent", async () => {
  const requests = await saveState({ seats: 1 }, '"seats": 1', '"order": 1234567890123456789');
  expect(await screen.findByText("This browser rounds whole numbers this large. Use a newer browser.")).toBeTruthy();
  expect(requests.some(({ method }) => method === "PATCH")).toBe(false);
});

test("a state that is no JSON object is not sent", async () => {
  const requests = await saveState({ seats: 1 }, '"seats": 1', "seats");
  expect(await screen.findByText("Enter a JSON object.")).toBeTruthy();
  expect(requests.some(({ method }) => method === "PATCH")).toBe(false);
});

test("a deleted session is left, also if its dialog is closed before the answer", async () => {
  const ids = ["a", "b"];
  const deleteFirst = () => {
    ids.shift();
    return { status: 204 };
  };
  fakeServer({ ...answersWith(ids), "DELETE /sessions/a": deleteFirst });
  showSessions("#/sessions/a");
  fireEvent.click(await screen.findByRole("button", { name: /^Delete session/ }));
  const confirm = screen.getByRole("button", { name: "Delete" });
  const cancel = screen.getByRole("button", { name: "Cancel" });
  fireEvent.click(confirm);
  fireEvent.click(cancel);
  await waitFor(() => expect(window.location.hash).toBe("#/sessions/b"));
});
