import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { fakeServer, renderPage, type SentRequest } from "../approvals/testing";
import { completedRun } from "../runs/fixtures";
import { SearchDialog } from "./SearchDialog";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test("a search goes on with older runs where the newest have too few hits", async () => {
  const hit = completedRun({ run_id: "old", input: "Where is parcel 17?" });
  const requests = fakeServer({
    "GET /runs": ({ query }: SentRequest) => ({
      body: query.has("cursor")
        ? { data: [hit], meta: { limit: 8, next_cursor: null } }
        : { data: [], meta: { limit: 8, next_cursor: "5000" } },
    }),
  });
  const onClose = vi.fn();
  renderPage(<SearchDialog onClose={onClose} />);
  const field = screen.getByRole("combobox");
  fireEvent.change(field, { target: { value: "parcel" } });
  await screen.findByRole("option", { name: /Search older runs/ });
  fireEvent.keyDown(field, { key: "Enter" });
  await screen.findByRole("option", { name: /Where is parcel 17/ });
  expect(screen.queryByRole("option", { name: /Search older runs/ })).toBeNull();
  expect(requests.at(-1)?.query.get("cursor")).toBe("5000");
  expect(onClose).not.toHaveBeenCalled();
  fireEvent.keyDown(field, { key: "Enter" });
  await waitFor(() => expect(window.location.hash).toBe("#/runs/old"));
  expect(onClose).toHaveBeenCalled();
});

test("Enter opens no run that an earlier text has found, and a text is searched once it is typed", async () => {
  const hit = completedRun({ run_id: "parcel", input: "Where is parcel 17?" });
  const requests = fakeServer({ "GET /runs": { data: [hit], meta: { limit: 8, next_cursor: null } } });
  renderPage(<SearchDialog onClose={vi.fn()} />);
  const field = screen.getByRole("combobox");
  for (const value of ["pa", "par", "parcel"]) fireEvent.change(field, { target: { value } });
  await screen.findByRole("option", { name: /Where is parcel 17/, selected: true });
  expect(requests.map(({ query }) => query.get("q"))).toEqual(["parcel"]);
  fireEvent.change(field, { target: { value: "invoice" } });
  fireEvent.keyDown(field, { key: "Enter" });
  await waitFor(() => expect(window.location.hash).toBe("#/runs?q=invoice"));
});

test("a search that fails says so, and is made again on request", async () => {
  let isDown = true;
  const hit = completedRun({ input: "Where is parcel 17?" });
  fakeServer({
    "GET /runs": () => (isDown ? { status: 503 } : { body: { data: [hit], meta: { limit: 8, next_cursor: null } } }),
  });
  renderPage(<SearchDialog onClose={vi.fn()} />);
  fireEvent.change(screen.getByRole("combobox"), { target: { value: "parcel" } });
  expect((await screen.findByRole("alert")).textContent).toContain("The server is not available at the moment.");
  isDown = false;
  fireEvent.click(screen.getByRole("button", { name: "Try again" }));
  await screen.findByRole("option", { name: /Where is parcel 17/ });
  expect(screen.queryByRole("alert")).toBeNull();
});
