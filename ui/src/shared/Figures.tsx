import { serverNow } from "../api/serverClock";
import type { Totals } from "../api/types";
import { formatCost, formatCount, formatDuration, formatTime, formatUtc } from "./format";
import { useNow } from "./useNow";

/** The time between two moments; it grows while there is no end. */
export function Duration({ from, to }: { from: number | null | undefined; to?: number | null }) {
  const isOpen = from !== null && from !== undefined && (to === null || to === undefined);
  const now = useNow(isOpen);
  if (from === null || from === undefined) return <>–</>;
  return <>{formatDuration((to ?? now) - from)}</>;
}

interface TimeProps {
  at: number | null | undefined;
  /** Also of a day before today. */
  hasSeconds?: boolean;
}

/** A moment: today as a clock, older with the date; UTC as the tooltip. */
export function Time({ at, hasSeconds = false }: TimeProps) {
  if (at === null || at === undefined) return <>–</>;
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={formatUtc(at)}>
      {formatTime(at, serverNow(), hasSeconds)}
    </time>
  );
}

/** Input and output tokens of the tree. */
export function Tokens({ totals }: { totals: Totals | null | undefined }) {
  const total = totals ? totals.input_tokens + totals.output_tokens : 0;
  return <>{total > 0 ? formatCount(total) : "–"}</>;
}

export function Cost({ cost }: { cost: number | null | undefined }) {
  return <>{formatCost(cost)}</>;
}
