/** How a request is sent, and sent again. */
import { sleep } from "./clock.js";
import { errorOf } from "./errors.js";
import { Failure, Retries } from "./retries.js";

/** How long an answer may take, in addition to the time for which the request has the server wait. */
export const ANSWER_SECONDS = 30;

const NULL_BODY = new Set([204, 205, 304]);
const LONGEST_TIMER_SECONDS = 2_147_483;

export type Fetch = (request: Request, init?: RequestInit) => Promise<Response>;

export interface SendOptions {
  /** How long the request has the server wait. */
  serverSeconds?: number;
  /** How long an answer may take beyond that. */
  answerSeconds?: number;
  /** When the call must have ended, on the clock of `monotonic`. */
  deadline?: number;
  /** Whether the request may be sent again if the server may have received it. */
  isRepeatable?: boolean;
}

/** Sends requests until they are answered. */
export class Requests {
  readonly #fetch: Fetch;
  readonly #retrySeconds: number;

  /** @param retrySeconds for how long a call that fails is retried. */
  constructor(fetch: Fetch, retrySeconds: number) {
    this.#fetch = fetch;
    this.#retrySeconds = retrySeconds;
  }

  /** The retries of one call. */
  retries(deadline = Number.POSITIVE_INFINITY): Retries {
    return new Retries(this.#retrySeconds, deadline);
  }

  /**
   * Send a request until it is answered.
   *
   * @returns an answer that is a success, of which all has come.
   * @throws ClientError the server refused the request, or did not answer for too long.
   */
  async answer(request: Request, options: SendOptions = {}): Promise<Response> {
    const { serverSeconds = 0, answerSeconds = ANSWER_SECONDS, deadline, isRepeatable } = options;
    const retries = this.retries(deadline);
    for (;;) {
      const outcome = await this.#try(request, serverSeconds + answerSeconds);
      if (outcome instanceof Response && outcome.ok) return outcome;
      await sleep(await retries.waitSeconds(request, outcome, isRepeatable), request.signal);
    }
  }

  /** Send a request whose answer is JSON until it is answered. */
  async json(request: Request, options?: SendOptions): Promise<Response> {
    const response = await this.answer(request, options);
    const type = response.headers.get("Content-Type");
    if (NULL_BODY.has(response.status) || type?.startsWith("application/json")) return response;
    throw await errorOf(request, response, "The answer is not JSON. Is this the URL of a musterd server?");
  }

  /** Send a request once. The answer's body comes as the server sends it, until `signal` ends it. */
  async open(request: Request, signal: AbortSignal): Promise<Response | Failure> {
    try {
      return await this.#fetch(request.clone(), { signal: AbortSignal.any([request.signal, signal]) });
    } catch (error) {
      request.signal.throwIfAborted();
      return new Failure(error);
    }
  }

  async #try(request: Request, seconds: number): Promise<Response | Failure> {
    const milliseconds = Math.ceil(Math.min(seconds, LONGEST_TIMER_SECONDS) * 1000);
    const response = await this.open(request, AbortSignal.timeout(milliseconds));
    if (response instanceof Failure) return response;
    try {
      const body = await response.arrayBuffer(); // an answer that breaks off is none
      return new Response(NULL_BODY.has(response.status) ? null : body, response);
    } catch (error) {
      request.signal.throwIfAborted();
      return new Failure(error);
    }
  }
}

/** The header with which a request that is sent twice is done once. */
export function keyHeader(): { "Idempotency-Key": string } {
  return { "Idempotency-Key": newKey() };
}

/** Also without HTTPS, where a browser has no `randomUUID`. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether a request does the same if it is sent twice. */
export function isRepeatable(request: Request): boolean {
  return !["POST", "PATCH"].includes(request.method) || request.headers.has("Idempotency-Key");
}
