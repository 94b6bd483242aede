/** Marks the element that a dialog focuses when it opens: React's own `autoFocus` acts before the dialog is shown. */
export function markAutofocus(element: HTMLElement | null): void {
  element?.setAttribute("autofocus", "");
}
