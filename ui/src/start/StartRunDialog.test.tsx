import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { fakeServer, renderPage } from "../approvals/testing";
import StartRunDialog from "./StartRunDialog";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const AGENTS = ["Travel", "Librarian"].map((name) => ({ id: name.toLowerCase(), name }));

function choose(name: string): void {
  const choice = screen.getByLabelText<HTMLSelectElement>("Team, agent or workflow");
  choice.selectedIndex = [...choice.options].findIndex((option) => option.textContent === name);
  choice.dispatchEvent(new Event("change", { bubbles: true }));
}

test("another agent keeps what is typed, but not what was wrong with it", async () => {
  fakeServer({ "GET /teams": [], "GET /agents": AGENTS, "GET /workflows": [] });
  renderPage(<StartRunDialog onClose={vi.fn()} componentId="travel" />);
  fireEvent.change(await screen.findByLabelText("What should Travel do?"), { target: { value: "Find a seat" } });
  fireEvent.change(screen.getByLabelText("Session"), { target: { value: "s1" } });
  fireEvent.change(screen.getByLabelText("Budget in tokens"), { target: { value: "many" } });
  fireEvent.click(screen.getByText("Start"));
  await screen.findByText("Enter a whole number of tokens.");
  choose("Librarian");
  const message = await screen.findByLabelText<HTMLTextAreaElement>("What should Librarian do?");
  expect(message.value).toBe("Find a seat");
  expect(screen.getByLabelText<HTMLInputElement>("Session").value).toBe("s1");
  expect(screen.getByLabelText<HTMLInputElement>("Budget in tokens").value).toBe("many");
  expect(screen.queryByText("Enter a whole number of tokens.")).toBeNull();
});

test("what is typed is there again when the dialog is opened again, until it is sent", async () => {
  const requests = fakeServer({
    "GET /teams": [],
    "GET /agents": AGENTS,
    "GET /workflows": [],
    "POST /agents/librarian/runs": { run_id: "r1", session_id: "s1", status: "PENDING" },
  });
  const open = (form = {}) => renderPage(<StartRunDialog onClose={vi.fn()} componentId={null} form={form} />);
  open();
  await screen.findByLabelText("What should Travel do?");
  choose("Librarian");
  fireEvent.change(await screen.findByLabelText("What should Librarian do?"), { target: { value: "Find a book" } });
  cleanup();
  open({ message: "Something else" });
  expect((await screen.findByLabelText<HTMLTextAreaElement>("What should Travel do?")).value).toBe("Something else");
  cleanup();
  open();
  const message = await screen.findByLabelText<HTMLTextAreaElement>("What should Librarian do?");
  expect(message.value).toBe("Find a book");
  fireEvent.click(screen.getByText("Start"));
  await waitFor(() => expect(requests.some(({ method }) => method === "POST")).toBe(true));
  await waitFor(() => expect(message.value).toBe(""));
});
