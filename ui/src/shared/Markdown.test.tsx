import { cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import { Markdown } from "./Markdown";

afterEach(cleanup);

test("a text that stays keeps its nodes when what is around it changes", async () => {
  const { rerender } = render(<Markdown text="**Done**" />);
  const strong = await screen.findByText("Done", { selector: "strong" });
  rerender(<Markdown text="**Done**" />);
  expect(screen.getByText("Done", { selector: "strong" })).toBe(strong);
  rerender(<Markdown text="**More**" />);
  expect(await screen.findByText("More", { selector: "strong" })).toBeTruthy();
});
