/** A start of a run as a curl command. The key is never in it: the shell reads it from a variable. */

import type { JsonObject } from "../approvals/approval";
import { type StartForm, startFields } from "./startRequest";

const KEY_VARIABLE = "MUSTERD_KEY";

/**
 * @param address the absolute URL of the operation.
 * @param values the arguments of a function that is a workflow.
 */
export function curlCommand(address: string, form: StartForm, needsKey: boolean, values: JsonObject = {}): string {
  const lines = [`curl ${quote(address)}`];
  if (needsKey) lines.push(`-H "Authorization: Bearer $${KEY_VARIABLE}"`);
  if (form.files.length === 0) {
    lines.push("-H 'Content-Type: application/json'", `-d ${quote(JSON.stringify(startFields(form, values)))}`);
  } else {
    for (const [name, value] of Object.entries(startFields(form, values))) {
      const text = typeof value === "object" ? JSON.stringify(value) : String(value);
      // --form-string takes a text as it is: -F would read a file if the text began with @ or <.
      lines.push(`--form-string ${quote(`${name}=${text}`)}`);
    }
    for (const file of form.files) lines.push(`-F ${quote(`files=@"${formFileName(file.name)}"`)}`);
  }
  return lines.join(" \\\n  ");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function formFileName(name: string): string {
  return name.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
}
