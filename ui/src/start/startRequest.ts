/** A start of a run: what the form holds, the request it becomes, and the same request for a shell. */

import { segment } from "../api/client";
import type { ComponentKind } from "../api/types";
import type { JsonObject } from "../approvals/approval";

export type OnBusy = "enqueue" | "reject" | "interrupt" | "parallel";

export interface RunTarget {
  kind: ComponentKind;
  id: string;
}

/** The form as it is typed. An empty text means that the field is left out. */
export interface StartForm {
  message: string;
  sessionId: string;
  userId: string;
  onBusy: OnBusy;
  priority: string;
  delaySeconds: string;
  timeoutSeconds: string;
  budgetTokens: string;
  budgetCost: string;
  budgetSeconds: string;
  budgetToolCalls: string;
  /** The texts of the fields of a function that is a workflow, by name. */
  arguments: Readonly<Record<string, string>>;
  files: readonly File[];
}

export const EMPTY_FORM: StartForm = {
  message: "",
  sessionId: "",
  userId: "",
  onBusy: "enqueue",
  priority: "",
  delaySeconds: "",
  timeoutSeconds: "",
  budgetTokens: "",
  budgetCost: "",
  budgetSeconds: "",
  budgetToolCalls: "",
  arguments: {},
  files: [],
};

export type FormField = Exclude<keyof StartForm, "arguments" | "files" | "onBusy">;

export type Problems = Partial<Record<FormField, string>>;

type NumberField = Exclude<FormField, "message" | "sessionId" | "userId">;

interface NumberRule {
  isWhole: boolean;
  least: number;
  words: string;
}

const NUMBERS: Record<NumberField, NumberRule> = {
  priority: { isWhole: true, least: -(2 ** 31) + 1, words: "Enter a whole number." },
  delaySeconds: { isWhole: false, least: 0, words: "Enter seconds, such as 30." },
  timeoutSeconds: { isWhole: false, least: 0.001, words: "Enter seconds, such as 600." },
  budgetTokens: { isWhole: true, least: 1, words: "Enter a whole number of tokens." },
  budgetCost: { isWhole: false, least: 0, words: "Enter US dollars, such as 0.50." },
  budgetSeconds: { isWhole: false, least: 0.001, words: "Enter seconds, such as 120." },
  budgetToolCalls: { isWhole: true, least: 0, words: "Enter a whole number of tool calls." },
};

export function problemsOf(form: StartForm, takesJson: boolean): Problems {
  const problems: Problems = {};
  if (form.message.trim() === "") problems.message = "Enter a message.";
  else if (takesJson && !isJsonObject(form.message)) problems.message = "The message must be a JSON object.";
  for (const [field, rule] of Object.entries(NUMBERS) as [NumberField, NumberRule][]) {
    const text = form[field].trim();
    if (text !== "" && !fits(Number(text), rule)) problems[field] = rule.words;
  }
  const delay = numberOf(form.delaySeconds) ?? 0;
  const timeout = numberOf(form.timeoutSeconds);
  if (problems.timeoutSeconds === undefined && timeout !== undefined && timeout <= delay) {
    problems.timeoutSeconds = "The time limit must be longer than the delay.";
  }
  return problems;
}

export function runsPath(target: RunTarget): string {
  return `/${target.kind}s/${segment(target.id)}/runs`;
}

/**
 * The request's fields, without files.
 *
 * @param values the arguments of a function that is a workflow.
 */
export function startFields(form: StartForm, values: JsonObject = {}): JsonObject {
  const fields: JsonObject = { ...values, message: form.message, background: true, stream: false };
  if (form.sessionId.trim() !== "") fields.session_id = form.sessionId.trim();
  if (form.userId.trim() !== "") fields.user_id = form.userId.trim();
  if (form.onBusy !== "enqueue") fields.on_busy = form.onBusy;
  setNumber(fields, "priority", form.priority);
  setNumber(fields, "delay_seconds", form.delaySeconds);
  setNumber(fields, "timeout_seconds", form.timeoutSeconds);
  const budget: JsonObject = {};
  setNumber(budget, "tokens", form.budgetTokens);
  setNumber(budget, "cost_usd", form.budgetCost);
  setNumber(budget, "seconds", form.budgetSeconds);
  setNumber(budget, "tool_calls", form.budgetToolCalls);
  if (Object.keys(budget).length > 0) fields.budget = budget;
  return fields;
}

/** The body: JSON, or a multipart form if files are attached. */
export function startBody(form: StartForm, values: JsonObject = {}): JsonObject | FormData {
  const fields = startFields(form, values);
  if (form.files.length === 0) return fields;
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    body.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  for (const file of form.files) body.append("files", file, file.name);
  return body;
}

function setNumber(fields: JsonObject, name: string, text: string): void {
  const number = numberOf(text);
  if (number !== undefined) fields[name] = number;
}

function numberOf(text: string): number | undefined {
  const number = Number(text.trim());
  return text.trim() === "" || !Number.isFinite(number) ? undefined : number;
}

function fits(number: number, rule: NumberRule): boolean {
  return Number.isFinite(number) && number >= rule.least && (!rule.isWhole || Number.isSafeInteger(number));
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
