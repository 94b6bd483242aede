import { cleanup, fireEvent, screen } from "@testing-library/preact";
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
