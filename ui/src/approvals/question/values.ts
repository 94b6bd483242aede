/** The values that a person types before a call: fields, how they read as text, and what is wrong with them. */

import { isExact, parseExact } from "../../api/exactJson";
import { type Approval, defaultsOf, type InputField, type Json, type JsonObject, requirementOf } from "../approval";

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
  /** The call leaves it out: its value is the tool's default. */
  isLeftOut?: boolean;
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

/** The arguments of a call as fields, for a person who approves it with other values; also those that it leaves out. */
export function argumentFields(approval: Approval): Field[] {
  const args = approval.tool_args ?? {};
  const parameters = approval.tool_parameters?.properties ?? {};
  const leftOut = Object.keys(parameters).filter((name) => args[name] === undefined);
  const defaults = defaultsOf(approval);
  return [
    ...Object.entries(args).map(([name, value]) => argumentField(name, value, parameters[name])),
    ...leftOut.map((name) => ({
      ...argumentField(name, defaults[name] ?? null, parameters[name]),
      isLeftOut: true,
    })),
  ];
}

function argumentField(name: string, value: Json, parameter: JsonObject = {}): Field {
  const types = [parameter, ...alternatives(parameter)].filter(({ type }) => type !== "null");
  const options = types.map((type) => type.enum).find(Array.isArray);
  const description = typeof parameter.description === "string" ? parameter.description : null;
  return { name, type: declaredType(types, value) ?? typeOf(value), description, value, options };
}

/** What the parameter may be, of the optional ones as pydantic writes them: `{"anyOf": [{"type": "integer"}, …]}`. */
function alternatives(parameter: JsonObject): JsonObject[] {
  return Array.isArray(parameter.anyOf) ? parameter.anyOf.filter(isObject) : [];
}

/** The one type that is declared; undefined: there are several or none, or the value that was sent is of another. */
function declaredType(types: readonly JsonObject[], value: Json): FieldType | undefined {
  const declared = types.flatMap(({ type }) => (typeof type === "string" ? [DECLARED_TYPES[type]] : []));
  const type = declared.length === 1 ? declared[0] : undefined;
  const isNested = (one: FieldType | undefined) => one === "list" || one === "dict";
  return value !== null && (isNested(type) || isNested(typeOf(value))) && type !== typeOf(value) ? undefined : type;
}

const DECLARED_TYPES: Record<string, FieldType> = {
  string: "str",
  integer: "int",
  number: "float",
  boolean: "bool",
  array: "list",
  object: "dict",
};

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

export function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function missing(): { problem: string } {
  return { problem: "Enter a value." };
}
