/** When a request is sent again. */
import { jitter, monotonic } from "./clock.js";
import { CannotConnect, type ClientError, errorOf } from "./errors.js";

const FIRST_WAIT_SECONDS = 0.1;
const LONGEST_WAIT_SECONDS = 5;
const TOO_MANY_REQUESTS = 429;
const PASSING = new Set([TOO_MANY_REQUESTS, 502, 503, 504]);

/** No answer came, or not all of it. */
export class Failure {
  constructor(readonly cause: unknown) {}
}

/** The failures of one call in a row, and how long it may go on. */
export class Retries {
  readonly #seconds: number;
  readonly #deadline: number;
  #count = 0;
  #failingSince: number | null = null;

  /**
   * @param seconds for how long after the first failure requests are sent again.
   * @param deadline when the call must have ended, on the clock of `monotonic`.
   */
  constructor(seconds: number, deadline: number) {
    this.#seconds = seconds;
    this.#deadline = deadline;
  }

  /**
   * The server has answered, so the next failure counts as the first one. The waits still grow, so that a server that
   * answers and then fails is not asked without a pause.
   */
  noteAnswer(): void {
    this.#failingSince = null;
  }

  /** A part of the answer has come, or all of it. */
  noteProgress(): void {
    this.#count = 0;
    this.#failingSince = null;
  }

  /**
   * How long to wait until the request is sent again, in seconds.
   *
   * @param outcome an answer that says that the request failed, or what the network did.
   * @param isRepeatable whether the request may be sent again if the server may have received it.
   * @throws ClientError the failure lasts, or there is no time left.
   */
  async waitSeconds(request: Request, outcome: Response | Failure, isRepeatable = true): Promise<number> {
    const now = monotonic();
    this.#failingSince ??= now;
    const wait = retryAfter(outcome) + jitter(Math.min(FIRST_WAIT_SECONDS * 2 ** this.#count, LONGEST_WAIT_SECONDS));
    this.#count += 1;
    const end = Math.min(this.#failingSince + this.#seconds, this.#deadline);
    if (mayPass(outcome, isRepeatable) && now + wait <= end) return wait;
    throw await errorFor(request, outcome, now - this.#failingSince);
  }
}

function errorFor(request: Request, outcome: Response | Failure, seconds: number): ClientError | Promise<ClientError> {
  if (outcome instanceof Failure) return CannotConnect.of(request, outcome.cause, seconds);
  return errorOf(request, outcome);
}

/** Whether the same request may succeed later, and does no harm. */
function mayPass(outcome: Response | Failure, isRepeatable: boolean): boolean {
  const status = outcome instanceof Failure ? null : outcome.status;
  if (!isRepeatable) return status === TOO_MANY_REQUESTS;
  return status === null || PASSING.has(status);
}

/** The seconds of `Retry-After`, which is a number or a date; 0 without one. */
function retryAfter(outcome: Response | Failure): number {
  const text = (outcome instanceof Failure ? null : outcome.headers.get("Retry-After")) ?? "";
  const seconds = /^\d/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(seconds, 0) : 0;
}
