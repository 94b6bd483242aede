/** The server's time: live durations must not depend on a wrong clock of this device. */

let offsetSeconds = 0;
let isExact = false;

/** Take the server's time from the feed's first message (unix seconds with fractions). */
export function noteServerTime(serverSeconds: number): void {
  offsetSeconds = serverSeconds - Date.now() / 1000;
  isExact = true;
}

/** Take the server's time from a `Date` header: whole seconds, so only a large difference counts. */
export function noteServerDate(header: string | null): void {
  if (isExact || !header) return;
  const seconds = Date.parse(header) / 1000;
  if (Number.isNaN(seconds)) return;
  const difference = seconds - Date.now() / 1000;
  offsetSeconds = Math.abs(difference) > 2 ? difference : 0;
}

/** Now, in unix seconds by the server's clock. */
export function serverNow(): number {
  return Date.now() / 1000 + offsetSeconds;
}
