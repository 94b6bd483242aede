import { cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { type KeyBinding, useKeyboard, useKeyGroups, useKeys } from "./keyboard";

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

function Keys({ title, bindings }: { title: string; bindings: KeyBinding[] }) {
  useKeys(title, bindings);
  return null;
}

function Frame({ children }: { children: React.ReactNode }) {
  useKeyboard();
  const groups = useKeyGroups();
  return (
    <>
      <input aria-label="field" />
      <a href="#/x">Health</a>
      <main>The page</main>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls must be reachable by keyboard */}
      <section aria-label="A long text" tabIndex={0} />
      {/* biome-ignore lint/a11y/useSemanticElements: the grid of steps is no table either */}
      <div role="grid" aria-label="Steps" tabIndex={0} />
      <p>{groups.map((group) => group.title).join(", ")}</p>
      {children}
    </>
  );
}

function press(key: string, target: EventTarget = document.body, init: KeyboardEventInit = {}) {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init }));
}

test("keys run the binding that was mounted last, and are listed", () => {
  const outer = vi.fn();
  const inner = vi.fn();
  const { rerender } = render(
    <Frame>
      <Keys title="Everywhere" bindings={[{ keys: "j", label: "Outer", run: outer }]} />
      <Keys title="Run" bindings={[{ keys: "j", label: "Inner", run: inner }]} />
    </Frame>,
  );
  expect(screen.getByText("Everywhere, Run")).toBeTruthy();
  press("j");
  expect(inner).toHaveBeenCalledTimes(1);
  rerender(
    <Frame>
      <Keys title="Everywhere" bindings={[{ keys: "j", label: "Outer", run: outer }]} />
    </Frame>,
  );
  press("j");
  expect(outer).toHaveBeenCalledTimes(1);
});

test("two keys in a row", () => {
  const go = vi.fn();
  const reject = vi.fn();
  render(
    <Frame>
      <Keys
        title="Everywhere"
        bindings={[
          { keys: "g r", label: "Runs", run: go },
          { keys: "r", label: "Reject", run: reject },
        ]}
      />
    </Frame>,
  );
  press("g");
  press("r");
  expect(go).toHaveBeenCalledTimes(1);
  expect(reject).not.toHaveBeenCalled();
  press("r");
  expect(reject).toHaveBeenCalledTimes(1);
});

test("the second of two keys does nothing by itself if it comes late", () => {
  vi.useFakeTimers();
  const go = vi.fn();
  const approve = vi.fn();
  const next = vi.fn();
  render(
    <Frame>
      <Keys
        title="Everywhere"
        bindings={[
          { keys: "g a", label: "Approvals", run: go },
          { keys: "a", label: "Approve", run: approve },
          { keys: "j", label: "Next", run: next },
        ]}
      />
    </Frame>,
  );
  press("g");
  vi.advanceTimersByTime(60_000);
  press("a");
  expect(go).not.toHaveBeenCalled();
  expect(approve).not.toHaveBeenCalled();
  press("a");
  expect(approve).toHaveBeenCalledTimes(1);
  press("g");
  vi.advanceTimersByTime(60_000);
  press("j");
  expect(next).toHaveBeenCalledTimes(1);
});

test("fields and browser shortcuts keep their keys, and Enter is the focused link's", () => {
  const run = vi.fn();
  render(
    <Frame>
      <Keys
        title="Everywhere"
        bindings={[
          { keys: "a", label: "Approve", run },
          { keys: "Enter", label: "Open", run },
        ]}
      />
    </Frame>,
  );
  press("a", screen.getByLabelText("field"));
  press("a", document.body, { ctrlKey: true });
  press("Enter", screen.getByText("Health"));
  expect(run).not.toHaveBeenCalled();
});

test("arrows act on the page and its grid, but scroll a part that has the focus, and extend a selection", () => {
  const run = vi.fn();
  render(
    <Frame>
      <Keys title="Run" bindings={[{ keys: "ArrowDown", label: "Member below", run }]} />
    </Frame>,
  );
  press("ArrowDown", screen.getByLabelText("A long text"));
  press("ArrowDown", document.body, { shiftKey: true });
  expect(run).not.toHaveBeenCalled();
  for (const target of [document.body, screen.getByRole("main"), screen.getByRole("grid")]) press("ArrowDown", target);
  expect(run).toHaveBeenCalledTimes(3);
});
