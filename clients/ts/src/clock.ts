/** Time, and what depends on it. */

/** Seconds on a clock that is never set. */
export function monotonic(): number {
  return performance.now() / 1000;
}

/** Wait.
 *
 * @throws the reason of the signal, if it ends the wait.
 */
export function sleep(seconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** A random part of a wait, so that clients that failed together do not come back together. */
export function jitter(seconds: number): number {
  return Math.random() * seconds;
}
