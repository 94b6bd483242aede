/** Requests to the server that served this page. */
import { authHeaders, authState, reportRefused } from "./auth";
import { noteReachable } from "./reachable";
import { noteServerDate } from "./serverClock";

export type QueryValue = string | number | boolean | null | undefined;
export type Query = Record<string, QueryValue | readonly string[]>;

export interface RequestOptions {
  method?: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  query?: Query;
  /** A JSON body. */
  json?: unknown;
  /** A multipart body; file parts included. */
  form?: FormData;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

interface ErrorBody {
  detail?: unknown;
  error_code?: string;
  request_id?: string;
  errors?: { loc?: (string | number)[]; msg?: string }[];
}

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

/** The URL of an operation: `path` begins with a slash. The page is at `<prefix>/ui/`, the API at `<prefix>/`. */
export function apiUrl(path: string, query: Query = {}): string {
  const url = new URL(`..${path}`, document.baseURI.replace(/#.*$/, ""));
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

export async function send(path: string, options: RequestOptions = {}): Promise<Response> {
  const { method = "GET", query, json, form, headers, signal } = options;
  const usedKey = authState().key;
  const init: RequestInit = {
    method,
    headers: {
      Accept: "application/json",
      ...authHeaders(),
      ...(json === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    credentials: "same-origin",
  };
  if (json !== undefined) init.body = JSON.stringify(json);
  if (form) init.body = form;
  if (signal) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(apiUrl(path, query), init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached.", 0, "network_error");
  }
  noteServerDate(response.headers.get("Date"));
  if (response.status < 500) noteReachable();
  if (response.status === 401) reportRefused(usedKey);
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** Send a request and read its JSON answer; undefined for an answer without a body. */
export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const response = await send(path, options);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export async function errorOf(response: Response): Promise<ApiError> {
  const requestId = response.headers.get("X-Request-ID");
  let body: ErrorBody | null = null;
  try {
    body = (await response.json()) as ErrorBody;
  } catch {
    // A proxy's own error page: its text says nothing about this server.
  }
  const message = messageOf(body) ?? statusText(response.status);
  return new ApiError(message, response.status, body?.error_code ?? "", body?.request_id ?? requestId, body);
}

function messageOf(body: ErrorBody | null): string | null {
  if (typeof body?.detail === "string" && body.detail) return body.detail;
  const problems = Array.isArray(body?.detail) ? (body.detail as ErrorBody["errors"]) : body?.errors;
  if (!problems?.length) return null;
  return problems.map((problem) => `${(problem.loc ?? []).slice(1).join(".")}: ${problem.msg ?? "invalid"}`).join("; ");
}

function statusText(status: number): string {
  if (status === 502 || status === 503 || status === 504) return "The server is not available at the moment.";
  if (status === 404) return "Not found.";
  if (status === 403) return "You are not allowed to do this.";
  return `The server answered with status ${status}.`;
}
