/** Why a request failed, as the server tells it. */

export interface Problem {
  /** The server's sentence; empty if the answer is none of a musterd server. */
  detail: string;
  /** The server's `error_code`; empty if it has none. */
  code: string;
  /** Names the request in the server's log; empty if the answer is none of a musterd server. */
  requestId: string;
  /** The message for each field that is wrong, by its place. */
  fields: Record<string, string>;
  /** The JSON of the answer; null if it has none, as the page of a proxy. */
  body: unknown;
}

/** @param response one whose body was not read. */
export async function problemOf(response: Response): Promise<Problem> {
  const body = jsonOf(await response.text());
  const { detail, error_code, request_id, errors } = isObject(body) ? body : {};
  return {
    detail: textOf(detail),
    code: textOf(error_code),
    requestId: textOf(request_id) || (response.headers.get("X-Request-ID") ?? ""),
    fields: fieldsOf(errors ?? detail),
    body,
  };
}

/** Problems of fields, each with its place, which begins with `body` or `query`. */
function fieldsOf(problems: unknown): Record<string, string> {
  const fields: Record<string, string> = {};
  if (!Array.isArray(problems)) return fields;
  for (const problem of problems) {
    if (!isObject(problem)) continue;
    const place = Array.isArray(problem.loc) ? problem.loc.slice(1).join(".") : "";
    fields[place] = textOf(problem.msg) || "invalid";
  }
  return fields;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
