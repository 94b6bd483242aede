/** What a question says: the sentence a person answers, and the line of it in a list. */

import {
  type Approval,
  callerOf,
  choicesOf,
  type Json,
  type JsonObject,
  replacedValues,
  stepOf,
  toolOf,
} from "../approval";
import { inputFields } from "./values";

const LINE_VALUES = 5;
const VALUE_CHARACTERS = 60;

/** The question, with the names of tools apart so that they can be set as code. */
export interface Sentence {
  before: string;
  tool: string;
  after: string;
}

export function questionOf(approval: Approval): Sentence {
  return approval.status === "pending" ? openQuestion(approval) : closedQuestion(approval);
}

function openQuestion(approval: Approval): Sentence {
  const caller = callerOf(approval);
  const tool = toolOf(approval);
  const step = stepOf(approval);
  const message = step?.user_input_message ?? step?.confirmation_message;
  if (message) return { before: message, tool: "", after: "" };
  if (step?.error_message) return { before: "Try ", tool, after: " again?" };
  if (step !== undefined && approval.pause_type === "confirmation") {
    return { before: `May ${caller} run `, tool, after: "?" };
  }
  switch (approval.pause_type) {
    case "user_input": {
      const questions = choicesOf(approval);
      if (questions !== null) {
        if (step !== undefined) {
          const steps = step.allow_multiple_selections === true ? "steps" : "step";
          return { before: `Which ${steps} should `, tool, after: " run?" };
        }
        const count = questions.length === 1 ? "a question" : `${questions.length} questions`;
        return { before: `${caller} has ${count} for you`, tool: "", after: "" };
      }
      const missing = inputFields(approval).filter((field) => field.value === null).length;
      return { before: `${caller} needs ${count(missing, "value")} for `, tool, after: "" };
    }
    case "external_execution":
      return { before: `${caller} needs the result of `, tool, after: "" };
    case "unknown_outcome":
      return { before: "Did the call of ", tool, after: " happen?" };
    default:
      return { before: `May ${caller} call `, tool, after: "?" };
  }
}

/** The same as a fact, once it is decided. */
function closedQuestion(approval: Approval): Sentence {
  const caller = callerOf(approval);
  const tool = toolOf(approval);
  switch (approval.pause_type) {
    case "user_input": {
      if (choicesOf(approval) !== null) return { before: `${caller} asked you`, tool: "", after: "" };
      return { before: `${caller} asked for values for `, tool, after: "" };
    }
    case "external_execution":
      return { before: `${caller} asked for the result of `, tool, after: "" };
    case "unknown_outcome":
      return { before: "A call of ", tool, after: " was interrupted" };
    default:
      return { before: `${caller} asked to ${stepOf(approval) === undefined ? "call" : "run"} `, tool, after: "" };
  }
}

export function questionText(approval: Approval): string {
  const sentence = questionOf(approval);
  return sentence.before + sentence.tool + sentence.after;
}

/** Why the call waits, in a few words for a list. */
export function reasonOf(approval: Approval): string {
  switch (approval.pause_type) {
    case "user_input":
      return choicesOf(approval) === null ? "Needs values" : "Asks you";
    case "external_execution":
      return "Needs a result";
    case "unknown_outcome":
      return "Did it happen?";
    default:
      return "Needs approval";
  }
}

/**
 * The call's values in one line: "4417 · amount_eur 14.9 → 10 · Parcel lost in transit".
 *
 * @param replaced the earlier values of those that a person changed.
 */
export function argumentLine(args: JsonObject | null, replaced: JsonObject = {}): string {
  const given = Object.entries(args ?? {}).filter(([name, value]) => name in replaced || !isBlank(value));
  return given
    .slice(0, LINE_VALUES)
    .map(([name, value]) => namedValue(name, value, replaced[name]))
    .join(" · ");
}

/** A text as it is; a number or boolean says nothing without its name. */
function namedValue(name: string, value: Json, replaced: Json | undefined): string {
  const texts = replaced === undefined ? [value] : [replaced, value];
  const line = texts
    .map((text) => (isBlank(text) ? "empty" : shorten(argumentText(text), VALUE_CHARACTERS)))
    .join(" → ");
  return typeof value === "string" ? line : `${name} ${line}`;
}

function isBlank(value: Json): boolean {
  return value === null || value === "";
}

/** One value as a person reads it: texts as they are, everything else as JSON. */
export function argumentText(value: Json): string {
  if (typeof value === "string") return value;
  return typeof value === "object" && value !== null ? JSON.stringify(value, null, 2) : String(value);
}

/** "Approved by Ida", "Rejected automatically", "Recorded as happened by Ida", "Expired". */
export function outcomeOf(approval: Approval): string {
  const by = decidedBy(approval);
  switch (approval.status) {
    case "approved":
      return `${approvedWord(approval)}${by}`;
    case "rejected":
      return `${approval.pause_type === "unknown_outcome" ? "Refused to make again" : "Rejected"}${by}`;
    case "expired":
      return "Expired without a decision";
    case "cancelled":
      return "Cancelled with its run";
    default:
      return "Needs a decision";
  }
}

function approvedWord(approval: Approval): string {
  switch (approval.pause_type) {
    case "user_input":
      return "Answered";
    case "external_execution":
      return "Result sent";
    case "unknown_outcome":
      return approval.resolution_data?.result === undefined ? "Approved to make again" : "Recorded as happened";
    default:
      return Object.keys(replacedValues(approval)).length > 0 ? "Approved with other values" : "Approved";
  }
}

/** " by Ida", " automatically"; "" if it is not known. */
export function decidedBy(approval: Approval): string {
  if (approval.resolved_by === "expiry") return " automatically";
  return approval.resolved_by === null || approval.resolved_by === "client" ? "" : ` by ${approval.resolved_by}`;
}

function count(number: number, noun: string): string {
  return number === 1 ? `a ${noun}` : `${number === 0 ? "" : `${number} `}${noun}s`;
}

function shorten(text: string, most: number): string {
  const line = text.replace(/\s+/g, " ");
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}
