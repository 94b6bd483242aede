/** Decisions as `POST /approvals/{id}/resolve` takes them. */

import { jsonText } from "musterd-client";
import type { Approval, JsonObject, ResolutionData } from "../approval";

export type Decision =
  | { kind: "approve"; values?: JsonObject }
  | { kind: "answer"; values: JsonObject }
  | { kind: "result"; result: string }
  | { kind: "reject"; note: string };

export interface ResolveBody {
  status: "approved" | "rejected";
  resolution_data?: ResolutionData;
}

export function resolveBody(decision: Decision): ResolveBody {
  switch (decision.kind) {
    case "approve":
      if (decision.values === undefined || Object.keys(decision.values).length === 0) return { status: "approved" };
      return { status: "approved", resolution_data: { values: decision.values } };
    case "answer":
      return { status: "approved", resolution_data: { values: decision.values } };
    case "result":
      return { status: "approved", resolution_data: { result: decision.result } };
    case "reject": {
      const note = decision.note.trim();
      return note === "" ? { status: "rejected" } : { status: "rejected", resolution_data: { note } };
    }
  }
}

/** Whether an approval was decided as `decision` says; the server stores the data as they were sent. */
export function agrees(approval: Approval, decision: Decision): boolean {
  const { status, resolution_data: data } = resolveBody(decision);
  return approval.status === status && jsonText(approval.resolution_data) === jsonText(data);
}

/** What is said of a decision if another one was faster: "Your rejection was not used." */
export function unusedText(approval: Approval, decision: Decision): string {
  const { status, resolution_data: data } = resolveBody(decision);
  const hasOtherValues = approval.status === status && (data?.values ?? approval.resolution_data?.values) !== undefined;
  return `Your ${decisionNoun(decision)} was not used${hasOtherValues ? ": it was decided with other values" : ""}.`;
}

function decisionNoun(decision: Decision): string {
  switch (decision.kind) {
    case "approve":
      return "approval";
    case "answer":
      return "answer";
    case "result":
      return "result";
    case "reject":
      return "rejection";
  }
}
