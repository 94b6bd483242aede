/** The part of an approval that the timeline draws: who waits, for what, from when to when. */

export interface WaitingCall {
  id: string;
  status: string;
  tool_name: string | null;
  created_at: number | null;
  resolved_at: number | null;
  member_run_id?: string | null;
  step_path?: string | null;
}

interface ListedApproval extends WaitingCall {
  requirements: readonly object[] | null;
}

/** Approvals with the exact times of their questions: an approval's own times are whole seconds. */
export function waitingCalls(approvals: readonly ListedApproval[]): WaitingCall[] {
  return approvals.map((approval) => {
    const requirement = approval.requirements?.[0];
    const text = requirement !== undefined && "created_at" in requirement ? String(requirement.created_at) : "";
    const exact = Date.parse(text) / 1000;
    return Number.isNaN(exact) ? approval : { ...approval, created_at: exact };
  });
}
