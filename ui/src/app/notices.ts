/** What the reader is told above every page, such as the end of an action that was begun on another one. */
import { useSyncExternalStore } from "react";

export interface Notice {
  text: string;
  isFailure?: boolean;
  /** The place that shows more. */
  to?: string;
}

/** More would fill a screen while the server is away. */
const MOST = 4;
let notices: readonly Notice[] = [];
const listeners = new Set<() => void>();

function update(next: readonly Notice[]): void {
  notices = next.slice(-MOST);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function tell(notice: Notice): void {
  update([...notices, notice]);
}

export function removeNotice(notice: Notice): void {
  update(notices.filter((one) => one !== notice));
}

export function useNotices(): readonly Notice[] {
  return useSyncExternalStore(subscribe, () => notices);
}
