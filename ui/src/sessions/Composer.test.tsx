import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { NoticeList } from "../app/NoticeList";
import { type FakeAnswer, fakeServer, renderPage } from "../approvals/testing";
import { Composer } from "./Composer";
import type { SessionDetail } from "./session";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** Opens a session; the field for its next message. */
function openSession(id: string): Promise<HTMLTextAreaElement> {
  const session = { session_id: id, session_name: "Talk", agent_id: "travel", user_id: null };
  const page = (
    <>
      <NoticeList />
      <Composer session={session as SessionDetail} isBusy={false} />
    </>
  );
  renderPage(page, `#/sessions/${id}`);
  return screen.findByLabelText<HTMLTextAreaElement>("Message Travel");
}

/** A composer whose message is on its way until `answer` is called. */
async function sendSlowly(sessionId: string, message: string, reply: FakeAnswer) {
  let answer = () => {};
  const isHeld = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const requests = fakeServer({
    "GET /teams": [],
    "GET /agents": [{ id: "travel", name: "Travel" }],
    "GET /workflows": [],
    "POST /agents/travel/runs": () => reply,
  });
  const answerTo = globalThis.fetch;
  vi.stubGlobal("fetch", async (request: Request) => {
    if (request.method === "POST") await isHeld;
    return answerTo(request);
  });
  const field = await openSession(sessionId);
  fireEvent.input(field, { target: { value: message } });
  fireEvent.keyDown(field, { key: "Enter" });
  return { answer, field, requests };
}

const ACCEPTED = { status: 202, body: { run_id: "r1", session_id: "s1", status: "PENDING" } };
const REFUSED = { status: 422, body: { detail: "The message is too long." } };

test("what is typed while a message is sent stays", async () => {
  const { answer, field, requests } = await sendSlowly("s1", "Check me in", ACCEPTED);
  await waitFor(() => expect(field.value).toBe(""));
  fireEvent.input(field, { target: { value: "And my bag" } });
  answer();
  await waitFor(() => expect(screen.getByRole<HTMLButtonElement>("button", { name: "Send" }).disabled).toBe(false));
  expect(field.value).toBe("And my bag");
  expect(requests.filter((request) => request.method === "POST")).toHaveLength(1);
});

test("a message that could not be sent is in the field again, before what was typed since", async () => {
  const { answer, field } = await sendSlowly("s2", "Check me in", REFUSED);
  await waitFor(() => expect(field.value).toBe(""));
  fireEvent.input(field, { target: { value: "And my bag" } });
  answer();
  await waitFor(() => expect(field.value).toBe("Check me in\nAnd my bag"));
  expect(screen.getByRole("alert").textContent).toContain("The message is too long.");
});

test("a message that could not be sent can be sent again as it is", async () => {
  const { answer, field } = await sendSlowly("s3", "Check me in", REFUSED);
  answer();
  await screen.findByRole("alert");
  expect(field.value).toBe("Check me in");
});

test("a message that could not be sent is in the field again when its session is opened later", async () => {
  const { answer, field } = await sendSlowly("s4", "Check me in", REFUSED);
  await waitFor(() => expect(field.value).toBe(""));
  cleanup();
  const other = await openSession("s5");
  answer();
  const notice = await screen.findByText(/^The run was not started\. The message is too long\./);
  expect(notice.querySelector("a")?.getAttribute("href")).toBe("#/sessions/s4");
  expect(other.value).toBe("");
  cleanup();
  expect((await openSession("s4")).value).toBe("Check me in");
});

test("what is typed is in the field again when its session is opened later", async () => {
  fakeServer({ "GET /teams": [], "GET /agents": [{ id: "travel", name: "Travel" }], "GET /workflows": [] });
  fireEvent.input(await openSession("s6"), { target: { value: "Check me" } });
  cleanup();
  expect((await openSession("s7")).value).toBe("");
  cleanup();
  expect((await openSession("s6")).value).toBe("Check me");
});
