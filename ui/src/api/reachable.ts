/** Tells streams that wait for their next try that the server has answered, so that all of the page goes on at once. */

/** A server that accepts connections and closes them at once must not be asked without a pause. */
const PAUSE_MS = 1_000;
const waiting = new Set<() => void>();
let lastAt = 0;

/** Call `retry` as soon as the server answers any request. */
export function onReachable(retry: () => void): () => void {
  waiting.add(retry);
  return () => void waiting.delete(retry);
}

export function noteReachable(): void {
  if (waiting.size === 0 || Date.now() - lastAt < PAUSE_MS) return;
  lastAt = Date.now();
  const retries = [...waiting];
  waiting.clear();
  for (const retry of retries) retry();
}
