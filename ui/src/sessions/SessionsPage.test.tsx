import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { Route } from "wouter";
import { type Answers, fakeServer, renderPage } from "../approvals/testing";
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

test("the way back to the list keeps its filter", async () => {
  fakeServer(answersWith(["a"]));
  showSessions("#/sessions/a?q=talk&status=completed");
  const link = await screen.findByRole("link", { name: "All sessions" });
  expect(link.getAttribute("href")).toBe("#/sessions?q=talk&status=completed");
});
