/** One ticker for all durations that grow on the page. */
import { createContext, useContext, useSyncExternalStore } from "react";
import { serverNow } from "../api/serverClock";

const TICK_MS = 200;
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let now = serverNow();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(tick, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function tick(): void {
  if (document.hidden) return;
  now = serverNow();
  for (const listener of listeners) listener();
}

/** When the clock of a part of the page stopped, because nothing newer is known; null: it runs. */
export const StoppedClock = createContext<number | null>(null);

const noSubscription = () => () => undefined;

/**
 * The server's time in unix seconds. With `isActive` it advances, and the component renders with it, at most every
 * `stepSeconds`.
 */
export function useNow(isActive = true, stepSeconds = 0.2): number {
  const snapshot = () => {
    if (!timer) now = Math.max(now, Math.floor(serverNow() / TICK_S) * TICK_S);
    return Math.floor(now / stepSeconds) * stepSeconds;
  };
  const stoppedAt = useContext(StoppedClock);
  const shown = useSyncExternalStore(isActive && stoppedAt === null ? subscribe : noSubscription, snapshot);
  return stoppedAt ?? shown;
}

const TICK_S = TICK_MS / 1000;
