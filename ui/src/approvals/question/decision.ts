/** Decisions as `POST /approvals/{id}/resolve` takes them. */

import type { JsonObject, ResolutionData } from "../approval";

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

/** What the person wanted, for the sentence after somebody else was faster: "Your rejection was not used." */
export function decisionNoun(decision: Decision): string {
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
