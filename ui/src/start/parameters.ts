/** The parameters of a function that is a whole workflow: fields of a start in addition to the message. */
import type { Json, JsonObject } from "../approvals/approval";
import { type Draft, draftOf, type Field, type FieldType, type Reading, readDraft } from "../approvals/question/values";
import { takesJsonMessages, type Workflow } from "../teams/workflow";

export interface Parameter extends Field {
  isRequired: boolean;
}

interface Property {
  type?: string;
  enum?: Json[];
  anyOf?: { type?: string }[];
  default?: Json;
  description?: string;
}

interface Schema {
  properties?: Record<string, Property>;
  required?: string[];
}

const TYPES: Record<string, FieldType> = {
  string: "str",
  integer: "int",
  number: "float",
  boolean: "bool",
  array: "list",
  object: "dict",
};

/** What a message that is JSON looks like: `{"city": …, "days": …}`. */
export function outlineOf(schema: Schema | null | undefined): string {
  const names = Object.keys(schema?.properties ?? {});
  return `{${names.map((name) => `"${name}": …`).join(", ")}}`;
}

/** Those of a workflow that is a list of steps: none. */
export function parametersOf(workflow: Workflow | undefined): Parameter[] {
  if (workflow === undefined || takesJsonMessages(workflow)) return [];
  const schema: Schema = workflow.input_schema ?? {};
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    type: typeOf(property),
    description: property.description ?? null,
    value: property.default ?? null,
    options: typeOf(property) === "bool" ? [true, false] : property.type ? property.enum : undefined,
    isRequired: schema.required?.includes(name) ?? false,
  }));
}

function typeOf({ type, anyOf = [] }: Property): FieldType {
  const types = [type, ...anyOf.map((one) => one.type)].filter((one) => one !== undefined && one !== "null");
  return (types.length === 1 && TYPES[types[0] ?? ""]) || "json";
}

/** What is typed: the defaults, until a person changes them. */
export function argumentTexts(parameters: readonly Parameter[], typed: Draft): Draft {
  return { ...draftOf(parameters), ...typed };
}

/** The values that differ from the defaults, and the fields that cannot be read. */
export function readArguments(parameters: readonly Parameter[], typed: Draft): Reading {
  const texts = argumentTexts(parameters, typed);
  const readings = parameters.map((parameter) => readDraft([parameter], texts, { mayBeEmpty: !parameter.isRequired }));
  const values: JsonObject = Object.assign({}, ...readings.map((reading) => reading.values));
  return { values, problems: Object.assign({}, ...readings.map((reading) => reading.problems)) };
}
