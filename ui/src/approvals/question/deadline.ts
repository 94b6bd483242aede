/** Until when a person can decide, and what happens then. */

import { formatClock, formatDuration, formatTime } from "../../shared/format";
import { type Approval, isPending } from "../approval";

const DAY_SECONDS = 24 * 3600;
const SOON_SECONDS = 3600;

/** "Without a decision, the call is rejected at 04:47, in 3 h 59 m"; null if nothing is known about it. */
export function deadlineText(approval: Approval, now: number): string | null {
  if (!isPending(approval) || approval.expires_at === null) return null;
  const left = approval.expires_at - now;
  const isToday = new Date(approval.expires_at * 1000).toDateString() === new Date(now * 1000).toDateString();
  const moment = isToday ? `at ${formatClock(approval.expires_at)}` : `on ${formatTime(approval.expires_at, now)}`;
  return `Without a decision, ${consequence(approval)} ${moment}${left > 0 ? `, in ${remainingText(left)}` : ""}`;
}

/** "3 h 59 m left", for a list. */
export function leftText(approval: Approval, now: number): string {
  if (approval.expires_at === null) return "";
  const left = approval.expires_at - now;
  return left > 0 ? `${remainingText(left)} left` : "time is up";
}

export function isSoon(approval: Approval, now: number): boolean {
  return approval.expires_at !== null && approval.expires_at - now < SOON_SECONDS;
}

/** How often a text about the time that is left changes. */
export function tickSeconds(approvals: readonly Approval[], now: number): number {
  return approvals.some((approval) => isSoon(approval, now)) ? 1 : 30;
}

function consequence(approval: Approval): string {
  if (approval.default_decision === "reject") return "the call is rejected";
  return approval.default_decision === "approve" ? "the call is approved" : "the run fails";
}

function remainingText(seconds: number): string {
  if (seconds >= 2 * DAY_SECONDS) return `${Math.round(seconds / DAY_SECONDS)} days`;
  return formatDuration(seconds < 60 ? Math.ceil(seconds) : seconds);
}
