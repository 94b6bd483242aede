/** Decisions about approvals. */
import { dataOf } from "./api.js";
import type { Connection } from "./connection.js";
import type { Decision } from "./decisions.js";
import { Conflict } from "./errors.js";
import { jsonText } from "./jsonText.js";
import type { Approval, CallOptions, Schemas } from "./types.js";

/** What a decision about an approval may say. */
export interface ResolveOptions extends CallOptions {
  /** Who decides; with a token, its user does. */
  resolvedBy?: string;
}

interface Resolution {
  approvalId: string;
  status: Schemas["Decision"];
  data: Readonly<Record<string, unknown>>;
}

/** Read one approval. */
export async function readApproval(
  { api }: Connection,
  approvalId: string,
  options: CallOptions = {},
): Promise<Approval> {
  return dataOf(api.GET("/approvals/{approval_id}", { params: { path: { approval_id: approvalId } }, ...options }));
}

/** Decide about an approval. */
export async function resolveApproval(
  connection: Connection,
  { approvalId, status, data }: Resolution,
  { resolvedBy, ...options }: ResolveOptions = {},
): Promise<Approval> {
  const body = {
    status,
    resolved_by: resolvedBy ?? null,
    resolution_data: Object.keys(data).length > 0 ? data : null,
  };
  const init = { params: { path: { approval_id: approvalId } }, body, ...options };
  try {
    return await dataOf(connection.api.POST("/approvals/{approval_id}/resolve", init));
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
    // Either somebody else has decided, or this decision was stored and its answer was lost.
    const approval = await readApproval(connection, approvalId, options);
    const isSame =
      approval.status === status &&
      (resolvedBy ?? approval.resolved_by) === approval.resolved_by &&
      jsonText(approval.resolution_data) === jsonText(body.resolution_data);
    if (!isSame) throw error;
    return approval;
  }
}

/** Store a decision about a requirement as that of its approval, which has the same id. */
export async function resolveAsDecided(
  connection: Connection,
  { item }: Decision,
  options: CallOptions,
): Promise<Approval> {
  const approvalId = String(item.id);
  if (item.confirmation === false) {
    const data = item.confirmation_note ? { note: item.confirmation_note } : {};
    return resolveApproval(connection, { approvalId, status: "rejected", data }, options);
  }
  const fields = (item.user_input_schema ?? []) as readonly { name: string; value: unknown }[];
  const answers = (item.user_feedback_schema ?? []) as readonly { question: string; selected_options: unknown }[];
  const values = Object.fromEntries([
    ...fields.map(({ name, value }) => [name, value]),
    ...answers.map(({ question, selected_options }) => [question, selected_options]),
  ]);
  const result = item.external_execution_result;
  const data = { ...(Object.keys(values).length > 0 && { values }), ...(result !== undefined && { result }) };
  return resolveApproval(connection, { approvalId, status: "approved", data }, options);
}
