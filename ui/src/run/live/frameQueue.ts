/** Collects what a stream delivers, and hands it over once per animation frame. */

export interface FrameQueue<T> {
  push(item: T): void;
  /** Hand over everything that waits, now. */
  flush(): void;
  close(): void;
}

/** How many items one frame takes, so that a long replay does not block the page. */
const BATCH = 1500;
/** A hidden page gets no animation frames. */
const HIDDEN_MS = 1000;

export function createFrameQueue<T>(apply: (items: T[]) => void): FrameQueue<T> {
  let items: T[] = [];
  let frame: number | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let isClosed = false;

  function cancel(): void {
    if (frame !== null) cancelAnimationFrame(frame);
    if (timer !== null) clearTimeout(timer);
    frame = null;
    timer = null;
  }

  function schedule(): void {
    if (frame !== null || isClosed) return;
    frame = requestAnimationFrame(run);
    timer = setTimeout(run, HIDDEN_MS);
  }

  function run(): void {
    cancel();
    if (items.length <= BATCH) {
      const all = items;
      items = [];
      apply(all);
    } else {
      const batch = items.slice(0, BATCH);
      items = items.slice(BATCH);
      apply(batch);
      schedule();
    }
  }

  return {
    push(item) {
      if (isClosed) return;
      items.push(item);
      schedule();
    },
    flush() {
      cancel();
      const all = items;
      items = [];
      if (all.length > 0) apply(all);
    },
    close() {
      isClosed = true;
      cancel();
      items = [];
    },
  };
}
