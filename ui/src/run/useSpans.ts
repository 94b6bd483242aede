import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { RunFeed } from "./live/feed";
import type { WaitingCall } from "./model/approvals";
import type { RunDetail, RunStep } from "./model/types";
import { type Spans, toSpans } from "./spans";

/** Building may take this share of the time, at most. */
const SHARE = 8;
const LEAST_MS = 60;

/** The lanes of the run, built again when something changed; of a long run less often. */
export function useSpans(
  run: RunDetail,
  steps: readonly RunStep[],
  approvals: readonly WaitingCall[] | undefined,
  feed: RunFeed,
): Spans {
  const version = useSyncExternalStore(feed.subscribe, feed.getStepVersion);
  const cost = useRef(0);
  const shown = useThrottled(version, Math.max(LEAST_MS, cost.current * SHARE));
  return useMemo(() => {
    void shown;
    const began = performance.now();
    const spans = toSpans({ run, steps, feed, ...(approvals === undefined ? {} : { approvals }) });
    cost.current = performance.now() - began;
    return spans;
  }, [run, steps, approvals, feed, shown]);
}

/** The value, which changes at most once in so many milliseconds. */
function useThrottled<T>(value: T, milliseconds: number): T {
  const [shown, setShown] = useState(value);
  const last = useRef(0);
  const latest = useRef(value);
  latest.current = value;
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    if (value === shown || timer.current !== null) return;
    const wait = Math.max(0, last.current + milliseconds - performance.now());
    timer.current = setTimeout(() => {
      timer.current = null;
      last.current = performance.now();
      setShown(latest.current);
    }, wait);
  }, [value, shown, milliseconds]);
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    },
    [],
  );
  return shown;
}
