import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { type FakeAnswer, fakeServer, renderPage } from "../approvals/testing";
import { Composer } from "./Composer";
import type { SessionDetail } from "./session";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** A composer whose message is on its way until `answer` is called. */
async function sendSlowly(message: string, reply: FakeAnswer) {
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
  const session = { session_id: "s1", session_name: "Talk", agent_id: "travel", user_id: null };
  renderPage(<Composer session={session as SessionDetail} isBusy={false} />);
  const field = await screen.findByLabelText<HTMLTextAreaElement>("Message Travel");
  fireEvent.input(field, { target: { value: message } });
  fireEvent.keyDown(field, { key: "Enter" });
  return { answer, field, requests };
}

const ACCEPTED = { status: 202, body: { run_id: "r1", session_id: "s1", status: "PENDING" } };
const REFUSED = { status: 422, body: { detail: "The message is too long." } };

test("what is typed while a message is sent stays", async () => {
  const { answer, field, requests } = await sendSlowly("Check me in", ACCEPTED);
  await waitFor(() => expect(field.value).toBe(""));
  fireEvent.input(field, { target: { value: "And my bag" } });
  answer();
  await waitFor(() => expect(screen.getByRole<HTMLButtonElement>("button", { name: "Send" }).disabled).toBe(false));
  expect(field.value).toBe("And my bag");
  expect(requests.filter((request) => request.method === "POST")).toHaveLength(1);
});

test("a message that could not be sent is in the field again, before what was typed since", async () => {
  const { answer, field } = await sendSlowly("Check me in", REFUSED);
  await waitFor(() => expect(field.value).toBe(""));
  fireEvent.input(field, { target: { value: "And my bag" } });
  answer();
  await waitFor(() => expect(field.value).toBe("Check me in\nAnd my bag"));
  expect(screen.getByRole("alert").textContent).toContain("The message is too long.");
});

test("a message that could not be sent can be sent again as it is", async () => {
  const { answer, field } = await sendSlowly("Check me in", REFUSED);
  answer();
  await screen.findByRole("alert");
  expect(field.value).toBe("Check me in");
});
