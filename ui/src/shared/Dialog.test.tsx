import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { Dialog } from "./Dialog";

afterEach(cleanup);

function showDialog() {
  const onClose = vi.fn();
  render(
    <Dialog title="Write" onClose={onClose}>
      <textarea />
    </Dialog>,
  );
  return { onClose, dialog: screen.getByRole("dialog"), field: screen.getByRole("textbox") };
}

test("a click beside a dialog closes it", () => {
  const { onClose, dialog } = showDialog();
  fireEvent.pointerDown(dialog);
  fireEvent.click(dialog);
  expect(onClose).toHaveBeenCalledOnce();
});

test("a click beside a dialog in which something is written leaves it open", () => {
  const { onClose, dialog, field } = showDialog();
  fireEvent.input(field, { target: { value: "Check me in" } });
  fireEvent.pointerDown(dialog);
  fireEvent.click(dialog);
  expect(onClose).not.toHaveBeenCalled();
});

test("a drag that begins inside a dialog and ends beside it leaves it open", () => {
  const { onClose, dialog, field } = showDialog();
  fireEvent.pointerDown(field);
  fireEvent.click(dialog); // a browser tells the nearest element that holds both ends
  expect(onClose).not.toHaveBeenCalled();
});

test("a file chooser that is cancelled leaves its dialog open", () => {
  const { onClose, field } = showDialog();
  fireEvent(field, new Event("cancel", { bubbles: true }));
  expect(onClose).not.toHaveBeenCalled();
});
