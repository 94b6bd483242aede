import { useState } from "react";
import { type Approval, isPending } from "../approval";

/** The questions that wait, and those that did since the page was opened: the reader sees what became of them. */
export function useSeenQuestions(approvals: readonly Approval[]): Approval[] {
  const [seen] = useState(() => new Set<string>());
  for (const approval of approvals) if (isPending(approval)) seen.add(approval.id);
  return approvals.filter((approval) => seen.has(approval.id));
}
