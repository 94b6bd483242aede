/** Refs of elements that take the focus. `autoFocus` is only an attribute here: browsers ignore it after the page has loaded. */

/** Marks the element that a dialog focuses when it opens. */
export function markAutofocus(element: HTMLElement | null): void {
  element?.setAttribute("autofocus", "");
}

/** Focuses an element when it appears. */
export function focusOnMount(element: HTMLElement | null): void {
  element?.focus();
}
