/** What is typed and not sent yet. It outlives its form, so that to close the form or to leave its page loses nothing. */
import { useCallback, useLayoutEffect, useState } from "react";

const drafts = new Map<string, unknown>();
const listeners = new Set<() => void>();

export type ChangeDraft<T> = (change: (before: T) => T) => void;

/**
 * @param key names the form.
 * @param empty is what it begins with, the same object each time; to set it again forgets the draft.
 */
export function useDraft<T>(key: string, empty: T): [T, ChangeDraft<T>] {
  const [, setDrawn] = useState({});
  // Before the first key: a person may type faster than the page draws.
  useLayoutEffect(() => {
    const redraw = () => setDrawn({});
    listeners.add(redraw);
    return () => {
      listeners.delete(redraw);
    };
  }, []);
  const read = () => (drafts.has(key) ? (drafts.get(key) as T) : empty);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `read` depends on the same
  const change: ChangeDraft<T> = useCallback(
    (next) => {
      const draft = next(read());
      if (draft === empty) drafts.delete(key);
      else drafts.set(key, draft);
      for (const listener of listeners) listener();
    },
    [key, empty],
  );
  return [read(), change];
}
