import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import type { Search } from "../api/types";
import { Sources } from "./Sources";

afterEach(cleanup);

const PASSAGE = {
  name: "handbook.pdf",
  place: "page 3",
  content: "Everyone has 25 days of holidays a year.",
  meta_data: { similarity_score: 0.8333 },
  content_id: "c1",
  content_origin: "https://example.com/handbook.pdf",
};

function search(...references: unknown[]): Search {
  return { query: "holidays", time: 0.01, references: references as Search["references"] };
}

async function open(title: string): Promise<HTMLElement> {
  const details = screen.getByText(title).closest("details");
  if (details === null) throw new Error(`no passage ${title}`);
  details.open = true;
  fireEvent(details, new Event("toggle"));
  await waitFor(() => expect(details.querySelector("p")).not.toBeNull());
  return details;
}

test("each passage has its document and page, and opens to its text, score and address", async () => {
  render(<Sources searches={[search(PASSAGE)]} />);
  expect(screen.getByRole("list", { name: "Sources" }).textContent).toBe("handbook.pdf, page 3");
  const details = await open("handbook.pdf");
  expect(details.textContent).toContain("Everyone has 25 days of holidays a year.");
  expect(details.textContent).toContain("Score 0.83");
  expect(screen.getByRole("link").getAttribute("href")).toBe("https://example.com/handbook.pdf");
});

test("a passage that two searches found is shown once", () => {
  const other = { ...PASSAGE, place: "page 4", content: "Sick days are no holidays." };
  render(<Sources searches={[search(PASSAGE), search({ ...PASSAGE, meta_data: {} }, other)]} />);
  expect(screen.getAllByRole("listitem").map((item) => item.textContent)).toEqual([
    "handbook.pdf, page 3",
    "handbook.pdf, page 4",
  ]);
});

test("many passages are shown when the reader asks for them", () => {
  const passages = Array.from({ length: 9 }, (_, i) => ({ ...PASSAGE, place: `page ${i}` }));
  render(<Sources searches={[search(...passages)]} />);
  expect(screen.getAllByRole("listitem")).toHaveLength(5);
  fireEvent.click(screen.getByRole("button", { name: "Show all 9" }));
  expect(screen.getAllByRole("listitem")).toHaveLength(9);
});

test("values of any shape, and hostile ones, are shown as text", async () => {
  const hostile = "<img src=x onerror=alert(1)>";
  render(
    <Sources
      searches={[
        search("A text.\nIts second line.", 7, null, ["a"], { title: "no content" }),
        search({ name: hostile, content: hostile, content_origin: "javascript:alert(1)", meta_data: "none" }),
      ]}
    />,
  );
  const titles = screen.getAllByRole("listitem").map((item) => item.textContent);
  expect(titles).toEqual(["A text.", "7", "null", "[", "{"]);
  fireEvent.click(screen.getByRole("button", { name: "Show all 6" }));
  expect((await open("A text.")).textContent).toContain("Its second line.");
  await open(hostile);
  expect(screen.queryByRole("link")).toBeNull();
  expect(document.querySelector("img")).toBeNull();
});

test("an answer without a search has no sources", () => {
  const { container } = render(<Sources searches={[search()]} />);
  expect(container.textContent).toBe("");
});
