/** The typed fetch of the server's operations: paths, parameters, bodies and answers are those of its OpenAPI document. */
import createClient, { type Client as FetchClient } from "openapi-fetch";
import type { paths } from "./schema.js";

export type Api = FetchClient<paths, "application/json">;

export interface ApiOptions {
  /** The server. */
  url: string;
  /** Sends a request; by default the platform's own. */
  fetch?: (request: Request) => Promise<Response>;
  /** Headers of every request. */
  headers?: Record<string, string>;
}

export function createApi({ url, fetch = (request) => globalThis.fetch(request), headers = {} }: ApiOptions): Api {
  return createClient<paths, "application/json">({ baseUrl: url, fetch, headers });
}

/** The data of an answer, for a `fetch` that throws if the answer is no success. */
export async function dataOf<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}
