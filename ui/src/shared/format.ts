/** Numbers and times as text. A narrow space stands before units; no line breaks inside. */

const THIN = "\u202f";
const SPACE = "\u00a0";
const DASH = "–";
const counts = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const shortClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayAndYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** `620 ms`, `3.20 s`, `42.0 s`, `7 m 06 s`, `2 h 05 m`, `3 d 4 h`. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return DASH;
  const span = Math.max(0, seconds);
  if (span < 0.9995) return `${Math.round(span * 1000)}${THIN}ms`;
  if (span < 9.995) return `${span.toFixed(2)}${THIN}s`;
  if (span < 59.95) return `${span.toFixed(1)}${THIN}s`;
  const whole = Math.round(span);
  if (whole < 3600) return `${Math.floor(whole / 60)}${THIN}m${SPACE}${pad(whole % 60)}${THIN}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)}${THIN}h${SPACE}${pad(minutes % 60)}${THIN}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}${THIN}d${SPACE}${hours % 24}${THIN}h`;
}

/** How long after the start something happened: to the millisecond, so that neighbours can be told apart. */
export function formatOffset(seconds: number): string {
  const span = Math.max(0, seconds);
  if (span < 60) return `${span.toFixed(3)}${THIN}s`;
  const minutes = Math.floor(span / 60);
  return `${minutes}${THIN}m${SPACE}${(span - minutes * 60).toFixed(3).padStart(6, "0")}${THIN}s`;
}

/**
 * Today as a clock, older with the date.
 *
 * @param hasSeconds also of a day before today, whatever its year.
 */
export function formatTime(
  seconds: number | null | undefined,
  now: number = Date.now() / 1000,
  hasSeconds = false,
): string {
  if (seconds === null || seconds === undefined) return DASH;
  const date = new Date(seconds * 1000);
  const today = new Date(now * 1000);
  if (date.toDateString() === today.toDateString()) return clock.format(date);
  if (hasSeconds) return `${day.format(date)}, ${clock.format(date)}`;
  if (date.getFullYear() === today.getFullYear()) return `${day.format(date)}, ${shortClock.format(date)}`;
  return dayAndYear.format(date);
}

/** The clock without seconds, as in "the run fails at 04:47". */
export function formatClock(seconds: number): string {
  return shortClock.format(new Date(seconds * 1000));
}

/** The exact time in UTC, for tooltips. */
export function formatUtc(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().replace("T", " ").replace("Z", "")} UTC`;
}

export function formatCount(count: number | null | undefined): string {
  return count === null || count === undefined ? DASH : counts.format(count);
}

/**
 * `$0.0099`: always four decimals, so that a column lines up; what is free is `$0`.
 *
 * @param cost null if a model has no list price; undefined if there is nothing to pay for yet.
 * @param unknown how to say that a price is unknown; narrow columns say less.
 */
export function formatCost(cost: number | null | undefined, unknown = "price unknown"): string {
  if (cost === undefined) return DASH;
  if (cost === null) return unknown;
  return cost === 0 ? "$0" : `$${cost.toFixed(4)}`;
}

/** The cost of so many tokens, of which the server has no cost if their price is unknown or there are none. */
export function costOfTokens(cost: number | null, tokens: number): number | null | undefined {
  return cost === null && tokens === 0 ? undefined : cost;
}

/** `12.4 MB`. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)}${THIN}${units[unit]}`;
}

/** `1 run`, `2 runs`. */
export function plural(count: number, one: string, many: string = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
