/** Requests to the server that served this page. */
import { createApi, problemOf } from "musterd-client";
import { authState, reportRefused } from "./auth";
import { noteReachable } from "./reachable";
import { noteServerDate } from "./serverClock";

export type QueryValue = string | number | boolean | null | undefined;
export type Query = Record<string, QueryValue | readonly string[]>;

/** An answer that is no success. `status` is 0 where no answer came. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | null;
  /** The body of the answer, as the server sent it. */
  readonly body: unknown;

  constructor(message: string, status: number, code: string, requestId: string | null = null, body: unknown = null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.body = body;
  }

  get isNetwork(): boolean {
    return this.status === 0;
  }
}

/** The page is at `<prefix>/ui/`, the API at `<prefix>/`. */
const BASE = new URL("..", document.baseURI.replace(/#.*$/, "")).href;

/** How long a request may take with its answer: a connection can be dead without a sign of it. */
const LIMIT_SECONDS = 30;

function apiWithin(seconds: number) {
  const headers = { Accept: "application/json" };
  return createApi({ url: BASE, headers, fetch: (request) => send(request, seconds) });
}

/** The server's operations; one that fails throws an `ApiError`. */
export const api = apiWithin(LIMIT_SECONDS);
/** The same, with time for files that are sent or saved. */
export const fileApi = apiWithin(3600);

/** The URL of an operation: `path` begins with a slash. */
export function apiUrl(path: string, query: Query = {}): string {
  const url = new URL(path.slice(1), BASE);
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const item of value) url.searchParams.append(name, item);
    else if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** One segment of a path: ids are free text and may hold slashes. */
export function segment(id: string): string {
  return encodeURIComponent(id);
}

async function send(request: Request, seconds: number): Promise<Response> {
  const { key: usedKey, isRefused } = authState();
  // The server counts refused keys by address, and after too many of them it takes no valid one either.
  if (isRefused) throw new ApiError("The key was not accepted.", 401, "");
  if (usedKey) request.headers.set("Authorization", `Bearer ${usedKey}`);
  const response = await reached(request, seconds);
  noteServerDate(response.headers.get("Date"));
  if (response.status < 500) noteReachable();
  if (response.status === 401) reportRefused(usedKey);
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** Ask the server whether it accepts a key; throws an `ApiError` if it does not, or cannot say. */
export async function checkKey(key: string): Promise<void> {
  const headers = { Accept: "application/json", Authorization: `Bearer ${key}` };
  const response = await reached(new Request(apiUrl("/me"), { headers }));
  if (response.status === 401) throw new ApiError("The key was not accepted.", 401, "");
  if (!response.ok) throw await errorOf(response);
}

/** The answer to a request, whatever its status, with all of its body. */
async function reached(request: Request, seconds = LIMIT_SECONDS): Promise<Response> {
  const limit = AbortSignal.timeout(seconds * 1000);
  try {
    const response = await fetch(request, { signal: AbortSignal.any([request.signal, limit]) });
    const body = await response.arrayBuffer();
    return new Response(body.byteLength === 0 ? null : body, response);
  } catch (error) {
    if (request.signal.aborted) throw error;
    const words = limit.aborted
      ? `The server has not answered within ${seconds} seconds.`
      : "The server cannot be reached.";
    throw new ApiError(words, 0, "network_error");
  }
}

/** Says what was not done, then why; and a cure if the server cannot be reached. */
export function reportNot(done: string, cure = "") {
  return (error: unknown): never => {
    if (!(error instanceof ApiError)) throw error;
    const { message, status, code, requestId, isNetwork } = error;
    throw new ApiError(`${done} ${message}${isNetwork ? cure : ""}`, status, code, requestId);
  };
}

export async function errorOf(response: Response): Promise<ApiError> {
  const { detail, fields, code, requestId, body } = await problemOf(response);
  const problems = Object.entries(fields).map(([place, words]) => `${place}: ${words}`);
  const message = detail || problems.join("; ") || statusText(response.status);
  return new ApiError(message, response.status, code, requestId || null, body);
}

function statusText(status: number): string {
  if (status === 502 || status === 503 || status === 504) return "The server is not available at the moment.";
  if (status === 404) return "Not found.";
  if (status === 403) return "You are not allowed to do this.";
  return `The server answered with status ${status}.`;
}
