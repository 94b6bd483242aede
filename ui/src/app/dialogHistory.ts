/**
 * Open dialogs in the browser's history: each has an entry with the page's own place, so that Back closes the dialog and
 * stays on the page. If a dialog is closed in another way, its entry is removed by a step back.
 */
import { useLayoutEffect, useRef } from "react";

/** How the open dialogs are closed, the outermost first. */
const open: (() => void)[] = [];
/** What waits for a step back that was made here; null: there is none. A step back is made some time after the call. */
let waiting: (() => void)[] | null = null;

/** How many dialogs the current entry of the history stands for. */
function depth(): number {
  const state = window.history.state as { dialogs?: number } | null;
  return state?.dialogs ?? 0;
}

function settle(): void {
  if (waiting !== null) return;
  for (let dialogs = depth() + 1; dialogs <= open.length; dialogs++) window.history.pushState({ dialogs }, "");
  const extra = depth() - open.length;
  if (extra > 0) {
    waiting = [];
    window.history.go(-extra);
  }
}

function onPopState(): void {
  if (waiting === null) {
    for (const close of open.slice(depth()).reverse()) close();
    if (depth() > open.length) settle(); // Forward, to a dialog that is closed
    return;
  }
  const actions = waiting;
  waiting = null;
  settle();
  for (const action of actions) whenSettled(action);
}

window.addEventListener("popstate", onPopState);

/** Whether the current entry of the history is a dialog's. */
export function isAtDialog(): boolean {
  return depth() > 0;
}

/** Do something to the history once no step back is on its way, which would undo it. */
export function whenSettled(action: () => void): void {
  if (waiting === null) action();
  else waiting.push(action);
}

/** Make one step back; what is done to the history afterwards waits for it. */
export function stepBack(): void {
  waiting = [];
  window.history.back();
}

/** Close a dialog on Back while it is mounted. */
export function useCloseOnBack(onClose: () => void, isEnabled: boolean): void {
  const latest = useRef(onClose);
  latest.current = onClose;
  useLayoutEffect(() => {
    if (!isEnabled) return;
    const close = () => latest.current();
    open.push(close);
    settle();
    return () => {
      open.splice(open.indexOf(close), 1);
      queueMicrotask(settle); // a dialog that is opened in its place takes over its entry
    };
  }, [isEnabled]);
}
