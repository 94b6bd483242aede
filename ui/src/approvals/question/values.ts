/** The values that a person types before a call: fields, how they read as text, and what is wrong with them. */

import { isExact, parseExact } from "../../api/exactJson";
import { type Approval, type InputField, type Json, type JsonObject, requirementOf } from "../approval";

export type FieldType = "str" | "int" | "float" | "bool" | "list" | "dict" | "json";

export interface Field {
  name: string;
  type: FieldType;
  description: string | null;
  /** What the model supplied; null: nothing. */
  value: Json;
  /** The only values that are accepted. */
  options?: readonly Json[] | undefined;
  mayBeEmpty?: boolean;
}

/** The texts of the form by field name. A boolean is "true", "false" or "". */
export type Draft = Record<string, string>;

export interface Reading {
  values: JsonObject;
  problems: Record<string, string>;
}

const TYPES: readonly string[] = ["str", "int", "float", "bool", "list", "dict"];

/** The fields of a form before a call. */
export function inputFields(approval: Approval): Field[] {
  return (requirementOf(approval)?.user_input_schema ?? []).map(fieldOf);
}

/** The arguments of a call as fields, for a person who approves it with other values. */
export function argumentFields(args: JsonObject): Field[] {
  return Object.entries(args).map(([name, value]) => ({ name, type: typeOf(value), description: null, value }));
}

export function draftOf(fields: readonly Field[]): Draft {
  return Object.fromEntries(fields.map((field) => [field.name, textOf(field)]));
}

/** The values that differ from the model's, and the fields that cannot be read. */
export function readDraft(fields: readonly Field[], draft: Draft, { mayBeEmpty }: { mayBeEmpty: boolean }): Reading {
  const reading: Reading = { values: {}, problems: {} };
  for (const field of fields) {
    const text = draft[field.name] ?? "";
    if (text.trim() === "" && field.mayBeEmpty === true) continue;
    if (text === textOf(field) && (field.value !== null || mayBeEmpty)) continue;
    const result = parse(field, text);
    if ("problem" in result) reading.problems[field.name] = result.problem;
    else reading.values[field.name] = result.value;
  }
  return reading;
}

function fieldOf(field: InputField): Field {
  const type = TYPES.includes(field.field_type) ? (field.field_type as FieldType) : "str";
  const { name, description, value } = field;
  return {
    name,
    type,
    description,
    value,
    options: field.allowed_values ?? undefined,
    mayBeEmpty: field.required === false,
  };
}

function typeOf(value: Json): FieldType {
  if (typeof value === "string") return "str";
  if (typeof value === "boolean") return "bool";
  // A whole number may stand for a fraction, so the server checks which of the two the tool takes.
  if (typeof value === "number" || typeof value === "bigint") return "float";
  if (value === null) return "json";
  return Array.isArray(value) ? "list" : "dict";
}

function textOf(field: Field): string {
  if (field.value === null) return "";
  if (typeof field.value === "string" && field.type === "str") return field.value;
  if (typeof field.value === "object") return JSON.stringify(field.value, null, 2);
  return String(field.value);
}

function parse(field: Field, text: string): { value: Json } | { problem: string } {
  const trimmed = text.trim();
  if (field.type === "str") return field.value === null && text === "" ? missing() : { value: text };
  if (trimmed === "") return field.type === "json" ? { value: null } : missing();
  switch (field.type) {
    case "int":
      return WHOLE.test(trimmed) ? wholeNumber(trimmed) : { problem: "Enter a whole number." };
    case "float":
      if (WHOLE.test(trimmed)) return wholeNumber(trimmed);
      if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed)) return { problem: "Enter a number, such as 12.50." };
      return Number.isFinite(Number(trimmed)) ? { value: Number(trimmed) } : { problem: "This number is too large." };
    case "bool":
      return { value: trimmed === "true" };
    case "list":
      return parseJson(trimmed, Array.isArray, 'Enter a JSON list, such as ["a", "b"].');
    case "dict":
      return parseJson(trimmed, isObject, 'Enter a JSON object, such as {"a": 1}.');
    case "json":
      return parseJson(trimmed, () => true, "Enter a JSON value; text goes in quotation marks.");
  }
}

const WHOLE = /^[+-]?\d+$/;
const TOO_LARGE = "This browser rounds whole numbers this large. Use a newer browser.";

function wholeNumber(text: string): { value: Json } | { problem: string } {
  const value = Number(text);
  if (Number.isSafeInteger(value)) return { value };
  return isExact ? { value: BigInt(text) } : { problem: TOO_LARGE };
}

/** @param problem what is wrong with a text that is no JSON or does not fit. */
export function parseJson(
  text: string,
  fits: (value: Json) => boolean,
  problem: string,
): { value: Json } | { problem: string } {
  try {
    const value = parseExact(text, () => {
      throw new RangeError(TOO_LARGE);
    }) as Json;
    return fits(value) ? { value } : { problem };
  } catch (error) {
    return { problem: error instanceof RangeError ? error.message : problem };
  }
}

export function isObject(value: Json): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function missing(): { problem: string } {
  return { problem: "Enter a value." };
}
