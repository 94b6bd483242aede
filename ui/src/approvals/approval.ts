/** Approvals as `GET /approvals` lists them: tool calls that wait, or waited, for a person. */
import { jsonText, type Schemas } from "musterd-client";

export type ApprovalStatus = Schemas["ApprovalResponse"]["status"];

export type PauseType = "confirmation" | "user_input" | "external_execution" | "unknown_outcome";

export type Json = string | number | bigint | boolean | null | Json[] | { [name: string]: Json };

export type JsonObject = { [name: string]: Json };

/** A field that a person fills in before a call. `field_type` is one of str, int, float, bool, list, dict. */
export interface InputField {
  name: string;
  field_type: string;
  description: string | null;
  value: Json;
  /** False only of a field of a workflow's step that may stay empty. */
  required?: boolean;
  allowed_values?: Json[] | null;
}

/** A call that waits, with the form that a person fills in. */
export type Requirement = Pick<
  Schemas["RunRequirement"],
  "id" | "started_at" | "user_feedback_schema" | "member_agent_name"
> & {
  kind: PauseType;
  created_at?: string;
  user_input_schema?: InputField[];
};

/** The step of a workflow that a question is about. */
export interface AskingStep {
  step_name: string;
  confirmation_message?: string | null;
  user_input_message?: string | null;
  error_message?: string | null;
  /** Of a router: the names of the steps from which a person chooses. */
  available_choices?: string[] | null;
  allow_multiple_selections?: boolean;
  step_input?: { input?: Json; previous_step_content?: Json };
}

/** What was sent with the decision. */
export interface ResolutionData {
  values?: JsonObject;
  result?: string;
  note?: string;
}

/** The JSON schema of a tool's arguments. */
export interface ToolParameters {
  properties?: Record<string, JsonObject>;
}

type TypedKeys =
  | "pause_type"
  | "tool_args"
  | "tool_parameters"
  | "requirements"
  | "resolution_data"
  | "context"
  | "default_decision";

/** The server's shape, with the values typed that its document leaves open. */
export type Approval = Omit<Schemas["ApprovalResponse"], TypedKeys> & {
  pause_type: PauseType | null;
  tool_args: JsonObject | null;
  tool_parameters: ToolParameters | null;
  requirements: Requirement[] | null;
  resolution_data: ResolutionData | null;
  context: { step?: AskingStep } | null;
  /** What happens if nobody decides in time; null: the run fails. */
  default_decision: "approve" | "reject" | null;
};

export interface ApprovalPage {
  data: Approval[];
  meta: Schemas["PaginatedResponse_ApprovalResponse_"]["meta"];
}

/** A question with answers to choose from. */
export interface ChoiceQuestion {
  /** What names the answer in the decision. */
  key: string;
  text: string;
  options: { label: string; description: string | null }[];
  /** How many answers there may be, in words; null: one. */
  severalText: string | null;
}

/** The questions of a model, or that of a router about its steps; null: values are asked for, or nothing is. */
export function choicesOf(approval: Approval): ChoiceQuestion[] | null {
  const asked = requirementOf(approval)?.user_feedback_schema;
  if (asked != null) {
    return asked.map(({ question, options, multi_select: isMulti }) => ({
      key: question,
      text: question,
      options: options.map(({ label, description }) => ({ label, description: description ?? null })),
      severalText: isMulti ? "Choose one or more" : null,
    }));
  }
  const step = stepOf(approval);
  if (step?.available_choices == null || approval.pause_type !== "user_input") return null;
  const isMulti = step.allow_multiple_selections === true;
  return [
    {
      key: "selected_choices",
      text: isMulti ? "Steps to run" : "Step to run",
      options: step.available_choices.map((label) => ({ label, description: null })),
      severalText: isMulti ? "Choose one or more. They run in the order in which you choose them." : null,
    },
  ];
}

export function isPending(approval: Approval): boolean {
  return approval.status === "pending";
}

export function requirementOf(approval: Approval): Requirement | undefined {
  return approval.requirements?.[0];
}

/** When the question was asked; the approval's own time is in whole seconds. */
export function askedAt(approval: Approval): number | null {
  const exact = Date.parse(requirementOf(approval)?.created_at ?? "") / 1000;
  return Number.isNaN(exact) ? approval.created_at : exact;
}

/** The agent or member whose model made the call. */
export function callerOf(approval: Approval): string {
  return approval.member_name ?? requirementOf(approval)?.member_agent_name ?? approval.source_name ?? "The agent";
}

/** "Billing of Support desk", or the one name if the call is the root run's own. */
export function callerWithTeam(approval: Approval): string {
  const caller = callerOf(approval);
  const source = approval.source_name;
  return source === null || source === caller ? caller : `${caller} of ${source}`;
}

/** The step of a workflow that waits; undefined: a tool call does. */
export function stepOf(approval: Approval): AskingStep | undefined {
  return approval.context?.step;
}

/** What the call or the step would work on. */
export function argumentsOf(approval: Approval): JsonObject {
  const step = stepOf(approval);
  if (step === undefined) return approval.tool_args ?? {};
  if (step.error_message) return { error: step.error_message };
  const content = step.step_input?.previous_step_content ?? step.step_input?.input ?? null;
  return content === null ? {} : { input: content };
}

/** The same with the values that a person gave or changed. */
export function decidedArgumentsOf(approval: Approval): JsonObject {
  return { ...argumentsOf(approval), ...approval.resolution_data?.values };
}

/** What a person replaced when approving a call: the earlier values by name, or the defaults of what was left out. */
export function replacedValues(approval: Approval): JsonObject {
  if (approval.pause_type !== "confirmation") return {};
  const before: JsonObject = { ...defaultsOf(approval), ...approval.tool_args };
  const values = Object.entries(approval.resolution_data?.values ?? {});
  return Object.fromEntries(
    values.flatMap(([name, value]) => {
      const former = before[name];
      return former === undefined || jsonText(former) === jsonText(value) ? [] : [[name, former]];
    }),
  );
}

/** The values that the tool takes for the arguments that the call leaves out, of those that are known. */
export function defaultsOf({ tool_parameters, tool_args }: Approval): JsonObject {
  const parameters = Object.entries(tool_parameters?.properties ?? {});
  return Object.fromEntries(
    parameters.flatMap(([name, { default: value }]) =>
      value === undefined || tool_args?.[name] !== undefined ? [] : [[name, value]],
    ),
  );
}

export function toolOf(approval: Approval): string {
  return approval.tool_name ?? "a tool";
}
