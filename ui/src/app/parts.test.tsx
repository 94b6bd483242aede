import { cleanup, render, screen } from "@testing-library/preact";
import { Suspense } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { lazyPart, PartErrors } from "./parts";

afterEach(cleanup);

test("a part whose script could not be loaded says so, and is loaded again when it is shown again", async () => {
  const load = vi.fn(async () => ({ default: ({ name }: { name: string }) => <p>Hello {name}</p> }));
  load.mockRejectedValueOnce(new TypeError("Failed to fetch the script"));
  const Part = lazyPart(load);
  const part = (
    <PartErrors frame={(problem) => <section aria-label="Part">{problem}</section>}>
      <Suspense>
        <Part name="Mara" />
      </Suspense>
    </PartErrors>
  );
  const { unmount } = render(part);
  expect((await screen.findByRole("alert")).textContent).toContain("Failed to fetch the script");
  expect(screen.getByRole("button", { name: "Reload the page" })).toBeTruthy();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(load).toHaveBeenCalledTimes(1);
  unmount();
  render(part);
  await screen.findByText("Hello Mara");
  expect(load).toHaveBeenCalledTimes(2);
  cleanup();
  render(part);
  expect(screen.getByText("Hello Mara")).toBeTruthy();
});
