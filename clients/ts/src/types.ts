/**
 * Names for what the calls take and return. All shapes are generated from the server's OpenAPI document (`schema.ts`).
 * Their fields are named as in the server's JSON; times are unix seconds with fractions.
 */
import type { components } from "./schema.js";

export type Schemas = components["schemas"];

export type ComponentKind = Schemas["RunSummary"]["component_kind"];
export type RunStatus = Schemas["RunStatus"];

/** What a call knows of a run that it has started or changed. */
export type RunReceipt = Schemas["RunReceipt"];

/** A run as it was when it was read. */
export type Run = Schemas["TeamRunDetails"] | Schemas["AgentRunDetails"] | Schemas["WorkflowRunDetails"];

/** A run in a list. */
export type RunSummary = Schemas["RunSummary"];

/** A model call, tool call or delegation of a run or of its members. */
export type RunStep = Schemas["RunStep"];

/** A message to a running run. */
export type RunMessage = Schemas["RunMessage"];

/** All that is stored of a run, its journal too. */
export type RunExport = Schemas["RunExport"];

/** Something that happened in a run or in one of its members; the page "Events" lists the fields of each event. */
export type RunEvent = Schemas["RunEvent"] & {
  /** A piece of text, or at the end of a run its answer. */
  content?: unknown;
  /** The tool call that it is about. */
  tool?: Schemas["ToolExecution"];
  [field: string]: unknown;
};

/** Stored events of a run. */
export type RunEventsPage = Omit<Schemas["RunEventsPage"], "events"> & { events: RunEvent[] };

export type Team = Schemas["TeamResponse"];
export type Agent = Schemas["AgentResponse"];
export type Workflow = Schemas["WorkflowResponse"];

/** A conversation in a list. */
export type SessionSummary = Schemas["SessionSchema"];

/** A conversation with its messages. */
export type Session =
  | Schemas["TeamSessionDetailSchema"]
  | Schemas["AgentSessionDetailSchema"]
  | Schemas["WorkflowSessionDetailSchema"];

/** A decision that a run waits for, or has waited for. */
export type Approval = Schemas["ApprovalResponse"];

export type TraceSummary = Schemas["TraceSummary"];
export type Trace = Schemas["TraceDetail"];

/** A run, or its id. */
export type RunRef = string | { readonly run_id: string };

/** What every call takes. */
export type CallOptions = {
  /** Ends the call. */
  signal?: AbortSignal;
};
