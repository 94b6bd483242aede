/**
 * Places for streams. Browsers allow six connections per host over all windows, and an open stream takes one: all
 * streams share four places, so that a request always finds a connection.
 */
const PLACES = 4;

/** Takes a place; what is returned gives it back. Null: all are taken. */
export async function takePlace(): Promise<(() => void) | null> {
  // There are no locks on pages that are neither on HTTPS nor on this machine.
  const locks = navigator.locks as LockManager | null | undefined;
  if (!locks || sharesOneConnection()) return () => undefined;
  for (let place = 0; place < PLACES; place++) {
    const giveBack = await tryLock(locks, `musterd.stream.${place}`);
    if (giveBack !== null) return giveBack;
  }
  return null;
}

/** Holds a lock until what is returned is called; the browser frees those of a window that is closed. */
function tryLock(locks: LockManager, name: string): Promise<(() => void) | null> {
  return new Promise((resolve) => {
    const hold = (lock: Lock | null) => {
      if (lock === null) return resolve(null);
      return new Promise<void>((giveBack) => resolve(giveBack));
    };
    // Refused as on a page without an origin of its own: then nothing can be shared.
    locks.request(name, { ifAvailable: true }, hold).catch(() => resolve(() => undefined));
  });
}

/** Whether all requests and streams go over one connection, as with HTTP/2. */
function sharesOneConnection(): boolean {
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return page?.nextHopProtocol === "h2" || page?.nextHopProtocol === "h3";
}
