/** The request that starts a run. */
import { type Api, dataOf } from "./api.js";
import type { CallOptions, ComponentKind, RunReceipt, Schemas } from "./types.js";

type OwnFields = "message" | "stream" | "background" | "files" | "stream_events" | "monitor" | "version";

/** What a run may be started with. `/docs` of a server describes the fields that are named as in its JSON. */
export interface StartOptions extends Partial<Omit<Schemas["StartForm"], OwnFields>>, CallOptions {
  /** What the component is, by default a team. */
  kind?: ComponentKind;
  files?: readonly File[];
  /** Of a workflow that is a function with parameters of its own. */
  arguments?: Readonly<Record<string, unknown>>;
  /** Of a workflow. */
  additional_data?: Record<string, unknown>;
  /**
   * Start the run once, also if this call is made again, by another process too. Without one, each call has a key of its
   * own, which its retries share.
   */
  idempotencyKey?: string;
}

/** A message, or an object that the component takes as its input. */
export type Message = string | Readonly<Record<string, unknown>>;

/** The body of a start, which has files only as a form. */
export function startBody(message: Message, options: StartOptions): Schemas["StartForm"] | FormData {
  const { kind: _kind, files = [], arguments: own = {}, idempotencyKey: _key, signal: _signal, ...fields } = options;
  const text = typeof message === "string" ? message : JSON.stringify(message);
  const body = { message: text, ...fields, ...own, background: true, stream: false } as Schemas["StartForm"];
  return files.length === 0 ? body : formOf(body, files);
}

function formOf(fields: object, files: readonly File[]): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== null)
      form.set(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  for (const file of files) form.append("files", file);
  return form;
}

export interface StartRequest extends CallOptions {
  kind: ComponentKind;
  component: string;
  /** Its fields as JSON, or a form if there are files. */
  body: object | FormData;
  idempotencyKey: string;
}

/** Send the request, below the path of the component. */
export async function sendStart(
  api: Api,
  { kind, component, body, idempotencyKey, signal }: StartRequest,
): Promise<RunReceipt> {
  const header = { "Idempotency-Key": idempotencyKey };
  const init = { body: body as Schemas["StartForm"], signal: signal ?? null };
  switch (kind) {
    case "team":
      return dataOf(api.POST("/teams/{team_id}/runs", { ...init, params: { header, path: { team_id: component } } }));
    case "agent":
      return dataOf(
        api.POST("/agents/{agent_id}/runs", { ...init, params: { header, path: { agent_id: component } } }),
      );
    case "workflow": {
      const params = { header, path: { workflow_id: component } };
      return dataOf(api.POST("/workflows/{workflow_id}/runs", { ...init, params }));
    }
  }
}
