import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { NextPage } from "./NextPage";

afterEach(cleanup);

const list = { hasNextPage: true, isFetchingNextPage: false, isFetchNextPageError: false, error: null };

test("a page that cannot be read says why, and can be read again", () => {
  const fetchNextPage = vi.fn();
  const { rerender, container } = render(<NextPage list={{ ...list, fetchNextPage }} label="Show older sessions" />);
  fireEvent.click(screen.getByText("Show older sessions"));
  expect(fetchNextPage).toHaveBeenCalledTimes(1);
  const failed = {
    ...list,
    isFetchNextPageError: true,
    error: new Error("The database cannot be used."),
    fetchNextPage,
  };
  rerender(<NextPage list={failed} label="Show older sessions" />);
  expect(screen.getByRole("alert").textContent).toContain("The database cannot be used.");
  fireEvent.click(screen.getByText("Try again"));
  expect(fetchNextPage).toHaveBeenCalledTimes(2);
  rerender(<NextPage list={{ ...list, hasNextPage: false, fetchNextPage }} label="Show older sessions" />);
  expect(container.textContent).toBe("");
});
