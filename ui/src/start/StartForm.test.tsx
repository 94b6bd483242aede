import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, it, vi } from "vitest";
import { fakeServer, renderPage } from "../approvals/testing";
import { StartForm } from "./StartForm";

const TRAVEL = {
  id: "travel",
  name: "Travel",
  model: { name: "OpenAIChat", model: "gpt-5", provider: "OpenAI" },
};

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

it("starts a run once, however often its answer is lost", async () => {
  let tries = 0;
  const requests = fakeServer({
    "GET /sessions": { data: [], meta: { page: 1, limit: 40, total_pages: 0, total_count: 0 } },
    "GET /me": { user_id: "ida", auth_required: true },
    "POST /agents/travel/runs": () => {
      tries += 1;
      if (tries === 1) return { status: 502 };
      return { status: 202, body: { run_id: "r 1", session_id: "s1", status: "PENDING" } };
    },
  });
  renderPage(<StartForm draftKey={crypto.randomUUID()} target={{ kind: "agent", id: "travel" }} component={TRAVEL} />);
  fireEvent.change(screen.getByLabelText("What should Travel do?"), { target: { value: "Check me in" } });
  fireEvent.click(screen.getByText("Start"));
  await screen.findByText("The run was not started. The server is not available at the moment.");
  fireEvent.click(screen.getByText("Start"));
  await waitFor(() => expect(window.location.hash).toBe("#/runs/r%201"));
  const starts = requests.filter((request) => request.method === "POST");
  expect(starts).toHaveLength(2);
  const keys = starts.map((request) => request.headers.get("Idempotency-Key"));
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(keys[1]).toBe(keys[0]);
  expect(starts[1]?.body).toEqual({ message: "Check me in", background: true, stream: false });
});

it("has a field for each parameter of a function that is a workflow", async () => {
  const schema = {
    type: "object",
    properties: { tone: { type: "string", default: "dry" }, count: { type: "integer" } },
    required: ["count"],
  };
  const report = { id: "report", name: "Report", db_id: "db", is_component: false, workflow_agent: false };
  const requests = fakeServer({
    "GET /sessions": { data: [], meta: { page: 1, limit: 40, total_pages: 0, total_count: 0 } },
    "GET /me": { user_id: "ida", auth_required: true },
    "GET /workflows/report": { ...report, steps: [], input_schema: schema },
    "POST /workflows/report/runs": () => ({
      status: 202,
      body: { run_id: "r1", session_id: "s1", status: "PENDING" },
    }),
  });
  renderPage(
    <StartForm draftKey={crypto.randomUUID()} target={{ kind: "workflow", id: "report" }} component={report} />,
  );
  fireEvent.change(screen.getByLabelText("What should Report do?"), { target: { value: "tea" } });
  expect((await screen.findByLabelText<HTMLInputElement>("tone")).value).toBe("dry");
  fireEvent.click(screen.getByText("Start"));
  await screen.findByText("Enter a value.");
  fireEvent.change(screen.getByLabelText("count"), { target: { value: "3" } });
  fireEvent.click(screen.getByText("Start"));
  await waitFor(() => expect(requests.some((request) => request.method === "POST")).toBe(true));
  const start = requests.find((request) => request.method === "POST");
  expect(start?.body).toEqual({ count: 3, message: "tea", background: true, stream: false });
});

it("begins with what is filled in", async () => {
  const requests = fakeServer({
    "GET /me": { user_id: null, auth_required: false },
    "POST /agents/travel/runs": () => ({ status: 202, body: { run_id: "r1", session_id: "s1", status: "PENDING" } }),
  });
  const initial = { message: "Check me in", sessionId: "s1" };
  renderPage(
    <StartForm
      draftKey={crypto.randomUUID()}
      target={{ kind: "agent", id: "travel" }}
      component={TRAVEL}
      initial={initial}
    />,
  );
  fireEvent.click(screen.getByText("Start"));
  await waitFor(() => expect(requests.some((request) => request.method === "POST")).toBe(true));
  const start = requests.find((request) => request.method === "POST");
  expect(start?.body).toEqual({ message: "Check me in", session_id: "s1", background: true, stream: false });
});

it("opens the folded part if a field in it is wrong", async () => {
  fakeServer({});
  renderPage(<StartForm draftKey={crypto.randomUUID()} target={{ kind: "agent", id: "travel" }} component={TRAVEL} />);
  fireEvent.change(screen.getByLabelText("What should Travel do?"), { target: { value: "Check me in" } });
  fireEvent.change(screen.getByLabelText("Priority"), { target: { value: "high" } });
  fireEvent.click(screen.getByText("Start"));
  await screen.findByText("Enter a whole number.");
  await waitFor(() => expect(document.querySelector("details")?.open).toBe(true));
  expect(document.activeElement).toBe(screen.getByLabelText("Priority"));
});

it.each([
  ["Refuse", "reject"],
  ["Interrupt", "interrupt"],
  ["In parallel", "parallel"],
  ["Wait", undefined],
])("says what happens if the session is busy: %s", async (label, sent) => {
  const requests = fakeServer({
    "GET /me": { user_id: null, auth_required: false },
    "POST /agents/travel/runs": () => ({ status: 202, body: { run_id: "r1", session_id: "s1", status: "PENDING" } }),
  });
  const initial = { message: "Check me in", sessionId: "s1" };
  renderPage(
    <StartForm
      draftKey={crypto.randomUUID()}
      target={{ kind: "agent", id: "travel" }}
      component={TRAVEL}
      initial={initial}
    />,
  );
  fireEvent.click(screen.getByRole("button", { name: label }));
  expect((await screen.findByRole("button", { name: label, pressed: true })).textContent).toBe(label);
  fireEvent.click(screen.getByText("Start"));
  await waitFor(() => expect(requests.some((request) => request.method === "POST")).toBe(true));
  const body = requests.find((request) => request.method === "POST")?.body as { on_busy?: string };
  expect(body.on_busy).toBe(sent);
});
