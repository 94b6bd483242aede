/** What a paused run waits for, and the decisions about it. */
import type { Run, Schemas } from "./types.js";

/** The field of a run that has the requirement, and of the request that decides about it. */
type RequirementList = "requirements" | "step_requirements" | "error_requirements";

const LISTS: readonly RequirementList[] = ["requirements", "step_requirements", "error_requirements"];

type ToolRequirement = Schemas["RunRequirement"];
type RawRequirement = ToolRequirement | Schemas["StepRequirement"] | Schemas["ErrorRequirement"];

type DecisionLists = { [list in RequirementList]?: Record<string, unknown>[] };
type Values = Record<string, unknown>;

/** A decision about one requirement, for `client.decide`. */
export interface Decision {
  readonly list: RequirementList;
  readonly item: Values;
  /** Whether the server takes it as that of an approval alone. */
  readonly isForInbox?: boolean;
}

/** Something that a paused run waits for: a tool call, or a step of a workflow. Its methods make decisions. */
export class Requirement {
  readonly id: string;
  /**
   * Of a tool call `confirmation`, `user_input`, `external_execution` or `unknown_outcome` (it was cut off, and may have
   * happened); of a workflow `step` or `failed_step`.
   */
  readonly kind: Schemas["RequirementKind"] | "step" | "failed_step";
  /** The tool or step. */
  readonly name: string;
  /** Those of the tool call. */
  readonly arguments: Values;
  /** The name of the member that made the call, if it was not the run itself. */
  readonly member: string | null;
  /** When the default decision applies, or the run fails; unix time. */
  readonly expiresAt: number | null;
  /** The requirement as the server sent it. */
  readonly raw: RawRequirement;
  readonly #list: RequirementList;

  constructor(list: RequirementList, raw: RawRequirement) {
    this.#list = list;
    this.raw = raw;
    this.id = raw.id;
    this.expiresAt = raw.expires_at ?? null;
    if ("tool_execution" in raw) {
      this.kind = raw.kind;
      this.name = raw.tool_execution.tool_name ?? "";
      this.arguments = raw.tool_execution.tool_args ?? {};
      this.member = raw.member_agent_name ?? null;
    } else {
      this.kind = list === "step_requirements" ? "step" : "failed_step";
      this.name = raw.step_name;
      this.arguments = {};
      this.member = null;
    }
  }

  /**
   * Make the call, or begin the step. A failed step is retried.
   *
   * @param changed arguments of the call that are changed.
   */
  approve(changed?: Values): Decision {
    if (this.#list === "error_requirements") return this.#decision({ decision: "retry" });
    if (this.#list === "step_requirements") return this.#decision({ confirmed: true });
    return this.#decision({ confirmation: true, ...(changed && { user_input_schema: named(changed) }) });
  }

  /**
   * Do not make the call, or do not begin the step. A failed step is skipped.
   *
   * @param note the reason, which the model reads.
   */
  reject(note?: string): Decision {
    if (this.#list === "error_requirements") return this.#decision({ decision: "skip" });
    if (this.#list === "step_requirements") return this.#decision({ confirmed: false });
    return this.#decision({ confirmation: false, ...(note && { confirmation_note: note }) });
  }

  /** Make the call, or begin the step, with these values. Questions to the user have lists of chosen options. */
  fillIn(values: Values): Decision {
    if (this.#list === "step_requirements") return this.#decision({ user_input: values });
    if ("user_feedback_schema" in this.raw && this.raw.user_feedback_schema?.length) {
      const form = Object.entries(values).map(([question, options]) => ({ question, selected_options: options }));
      return this.#decision({ user_feedback_schema: form });
    }
    return this.#decision({ user_input_schema: named(values) });
  }

  /** Let the router of a workflow take these of its choices. */
  choose(choices: readonly string[]): Decision {
    return this.#decision({ selected_choices: choices });
  }

  /** Tell what the call returned: it was made elsewhere, or it had happened when it was cut off. */
  giveResult(result: string): Decision {
    return this.#decision({ external_execution_result: result });
  }

  #decision(item: Values): Decision {
    const isForInbox = "tool_execution" in this.raw && this.raw.tool_execution.approval_type === "required";
    return { list: this.#list, item: { id: this.id, ...item }, ...(isForInbox && { isForInbox }) };
  }
}

/** Everything that a run waits for. */
export function requirementsOf(run: Run): Requirement[] {
  const lists: { [list in RequirementList]?: readonly RawRequirement[] } = run;
  return LISTS.flatMap((list) => (lists[list] ?? []).map((raw) => new Requirement(list, raw)));
}

/** Decisions as the fields of a request. */
export function decisionLists(decisions: readonly Decision[]): DecisionLists {
  const lists: DecisionLists = {};
  for (const { list, item } of decisions) lists[list] = [...(lists[list] ?? []), item];
  return lists;
}

function named(values: Values): { name: string; value: unknown }[] {
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}
