/** The order of the inbox: what expires first stands first; decisions of the last day stand below. */

import { type Approval, isPending } from "./approval";

const DAY_SECONDS = 24 * 3600;
/** How many of each status are read, the newest ones. */
export const RECENT_LIMIT = 50;
export const DECIDED = ["approved", "rejected", "expired", "cancelled"] as const;

export interface Inbox {
  pending: Approval[];
  decided: Approval[];
  /** The last day had more of them than are read. */
  hasMoreDecided: boolean;
}

/**
 * If not all that waits is read (`hasMore`), it is of `pendingPages` alone: `recentPage` would leave gaps. Otherwise the
 * two may be read one after the other, and a question that is decided in between must not disappear meanwhile.
 */
export function toInbox(
  pendingPages: readonly Approval[],
  recentPage: readonly Approval[],
  now: number,
  hasMore = false,
): Inbox {
  const byId = new Map<string, Approval>();
  // A decision is never undone, so of two copies of an approval the decided one is the newer.
  for (const approval of [...pendingPages, ...recentPage]) {
    const known = byId.get(approval.id);
    if (known === undefined || isPending(known)) byId.set(approval.id, approval);
  }
  const approvals = [...byId.values()];
  const isOfLastDay = (at: number | null) => (at ?? 0) > now - DAY_SECONDS;
  const decidedAt = (approval: Approval) => closedAt(approval, now) ?? approval.created_at ?? 0;
  const pendingIds = new Set(pendingPages.map((approval) => approval.id));
  return {
    pending: approvals
      .filter((approval) => isPending(approval) && (!hasMore || pendingIds.has(approval.id)))
      .sort(bySoonestExpiry),
    decided: approvals
      .filter((approval) => !isPending(approval) && isOfLastDay(decidedAt(approval)))
      .sort((left, right) => decidedAt(right) - decidedAt(left)),
    hasMoreDecided: DECIDED.some((status) => {
      const read = approvals.filter((approval) => approval.status === status);
      return read.length >= RECENT_LIMIT && read.every((approval) => isOfLastDay(approval.created_at));
    }),
  };
}

export function bySoonestExpiry(left: Approval, right: Approval): number {
  const expiry = (left.expires_at ?? Number.POSITIVE_INFINITY) - (right.expires_at ?? Number.POSITIVE_INFINITY);
  if (expiry !== 0 && !Number.isNaN(expiry)) return expiry;
  return (left.created_at ?? 0) - (right.created_at ?? 0) || left.id.localeCompare(right.id);
}

/** The pending approval after `id` in the list, or the first one. Undefined: nothing else is pending. */
export function nextPending(pending: readonly Approval[], id: string | undefined): Approval | undefined {
  const others = pending.filter((approval) => approval.id !== id);
  if (others.length === 0) return undefined;
  const index = pending.findIndex((approval) => approval.id === id);
  return pending.slice(index + 1).find((approval) => approval.id !== id) ?? others[0];
}

/**
 * The approvals before and after `id` in the list as it is shown.
 *
 * @param stoodAt the index that `id` had while it was pending and open: a person who decided it goes on among the
 * questions, and not from its new place among the decisions.
 */
export function neighbour(
  inbox: Inbox,
  id: string | undefined,
  step: 1 | -1,
  stoodAt: number | null = null,
): Approval | undefined {
  const isDecided = inbox.decided.some((approval) => approval.id === id);
  const follower = stoodAt === null || !isDecided ? undefined : inbox.pending[step === 1 ? stoodAt : stoodAt - 1];
  if (follower !== undefined) return follower;
  const shown = [...inbox.pending, ...inbox.decided];
  const index = shown.findIndex((approval) => approval.id === id);
  if (index < 0) return shown[0];
  return shown[Math.min(Math.max(index + step, 0), shown.length - 1)];
}

/** When it was decided, or expired; null: not known, as of one that was cancelled. */
export function closedAt({ status, resolved_at, expires_at }: Approval, now: number): number | null {
  // Questions of one run expire together, when the first of them does.
  const hasExpired = status === "expired" && expires_at !== null && expires_at <= now;
  return resolved_at ?? (hasExpired ? expires_at : null);
}
