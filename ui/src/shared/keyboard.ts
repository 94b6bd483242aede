/**
 * The keys of the page: pages register bindings while they are mounted, the help dialog lists them.
 *
 * Single keys are off in fields, in dialogs that are not theirs, and where the reader has switched them off; but then
 * the help dialog still opens, in which they are switched on again.
 */
import { useLayoutEffect, useRef, useSyncExternalStore } from "react";

export interface KeyBinding {
  /** A key as `KeyboardEvent.key` names it, or two in a row: `j`, `Enter`, `ArrowLeft`, `g r`. */
  keys: string;
  label: string;
  run: (event: KeyboardEvent) => void;
  isDisabled?: boolean;
}

interface Group {
  title: string;
  bindings: readonly KeyBinding[];
}

/** The keys that send a form, as this device's keyboard names them. */
export const SUBMIT_KEYS = /Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘ Enter" : "Ctrl Enter";

/** Opens the help dialog. */
export const HELP_KEY = "?";
const STORAGE_KEY = "musterd.single-keys";
const SEQUENCE_MS = 1200;
let groups: Group[] = [];
let isEnabled = readEnabled();
/** The first of two keys, and when it was pressed. */
let pending: { key: string; at: number } | null = null;
const listeners = new Set<() => void>();

function readEnabled(): boolean {
  try {
    return localStorage.getItem(STORAGE_KEY) !== "off";
  } catch {
    return true;
  }
}

function notify(): void {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Register the bindings of a part of the page. Of two with the same keys, the one mounted last counts. */
export function useKeys(title: string, bindings: readonly KeyBinding[]): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  // Before the next key: a person may type faster than the page draws.
  useLayoutEffect(() => {
    const group: Group = {
      title,
      get bindings() {
        return latest.current;
      },
    };
    groups = [...groups, group];
    notify();
    return () => {
      groups = groups.filter((other) => other !== group);
      notify();
    };
  }, [title]);
}

export function useKeyGroups(): readonly Group[] {
  return useSyncExternalStore(subscribe, () => groups);
}

export function useSingleKeys(): [boolean, (isOn: boolean) => void] {
  return [useSyncExternalStore(subscribe, () => isEnabled), setSingleKeys];
}

function setSingleKeys(isOn: boolean): void {
  isEnabled = isOn;
  try {
    localStorage.setItem(STORAGE_KEY, isOn ? "on" : "off");
  } catch {
    // Storage is blocked: it holds until the page is closed.
  }
  notify();
}

function isField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Enter and Space belong to the control that has the focus, arrows to a part that they scroll, or to the selection. */
function isForFocused({ key, shiftKey, target }: KeyboardEvent): boolean {
  const element = target instanceof Element ? target : document.body;
  if (key.startsWith("Arrow")) return shiftKey || !element.matches("body,main,[role=grid]");
  return (key === "Enter" || key === " ") && element.closest("a,button,summary,[role=menuitem]") !== null;
}

function find(keys: string): KeyBinding | undefined {
  for (const group of groups.toReversed()) {
    const binding = group.bindings.find((candidate) => candidate.keys === keys && !candidate.isDisabled);
    if (binding) return binding;
  }
  return undefined;
}

function isPrefix(key: string): boolean {
  return groups.some((group) => group.bindings.some((binding) => binding.keys.startsWith(`${key} `)));
}

export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (isField(event.target) || isForFocused(event)) return;
  if (document.querySelector("dialog[open]")) return; // a dialog has its own keys
  if (!isEnabled && event.key.length === 1 && event.key !== HELP_KEY) return;
  const first = pending;
  pending = null;
  const second = first === null ? undefined : find(`${first.key} ${event.key}`);
  // A second key that comes too late does nothing: by itself it may mean something else, such as a decision.
  if (first !== null && second && Date.now() - first.at > SEQUENCE_MS) return;
  const binding = second ?? find(event.key);
  if (binding) {
    event.preventDefault();
    binding.run(event);
  } else if (isPrefix(event.key)) pending = { key: event.key, at: Date.now() };
}

/** Listen for keys; once, by the frame of the page. */
export function useKeyboard(): void {
  useLayoutEffect(() => {
    window.addEventListener("keydown", handleKey);
    return () => window.removeEventListener("keydown", handleKey);
  }, []);
}
