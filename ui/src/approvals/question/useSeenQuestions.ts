import { useState } from "react";
import { type Approval, isPending } from "../approval";

/** The questions that wait, and those that did since the page was opened: the reader sees what became of them. */
export function useSeenQuestions(approvals: readonly Approval[]): Approval[] {
  const [seen] = useState(() => new Set<string>());
  return approvals.filter((approval) => seen.has(approval.id) || (isPending(approval) && seen.add(approval.id)));
}
