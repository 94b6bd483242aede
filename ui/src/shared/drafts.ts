/** What is typed and not sent yet. It outlives its form, so that to close the form or to leave its page loses nothing. */
import { useCallback, useSyncExternalStore } from "react";

const drafts = new Map<string, unknown>();
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export type ChangeDraft<T> = (change: (before: T) => T) => void;

/**
 * @param key names the form.
 * @param empty is what it begins with, the same object each time; to set it again forgets the draft.
 */
export function useDraft<T>(key: string, empty: T): [T, ChangeDraft<T>] {
  const latest = useCallback(() => (drafts.has(key) ? (drafts.get(key) as T) : empty), [key, empty]);
  const change: ChangeDraft<T> = useCallback(
    (next) => {
      const draft = next(latest());
      if (draft === empty) drafts.delete(key);
      else drafts.set(key, draft);
      for (const listener of listeners) listener();
    },
    [key, empty, latest],
  );
  return [useSyncExternalStore(subscribe, latest), change];
}
