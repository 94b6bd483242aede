/**
 * Errors of the client, in one tree, which has the names of the Python client's:
 *
 *     ClientError
 *     ├── CannotConnect         no answer: the server is not there, or the connection broke
 *     ├── AnswerError           the server refused the request
 *     │   ├── Unauthorized      401
 *     │   ├── Forbidden         403
 *     │   ├── NotFound          404
 *     │   ├── Conflict          409
 *     │   ├── InvalidInput      400, 405, 413 to 415, 422, 431, with the fields that are wrong
 *     │   ├── TooManyRequests   429
 *     │   └── ServerError       5xx
 *     └── NotCompleted          a run did not complete
 *         ├── RunFailed         it ended in ERROR
 *         ├── RunCancelled
 *         ├── RunPaused         it waits for a person
 *         └── StillRunning      it was at work when the time to wait was over
 *
 * Messages name the request and the server's sentence, and never a token.
 */
import { type Problem, problemOf } from "./problem.js";
import type { Run } from "./types.js";

const REMEDIES: Record<number, string> = {
  401: "Give the client the server's key or a token, or set MUSTERD_TOKEN.",
  403: "If the token lacks a scope: /docs of the server names it at the operation.",
};

/** A call of the client failed. */
export class ClientError extends Error {
  override name = "ClientError"; // not that of the class, which bundlers change
}

/** The server did not answer: nothing listens there, or the connection broke, and retries did not help. */
export class CannotConnect extends ClientError {
  override name = "CannotConnect";

  /** @param seconds for how long the request was sent again. */
  static of(request: Request, cause: unknown, seconds: number): CannotConnect {
    const tries = seconds >= 1 ? ` (tried for ${Math.round(seconds)} s)` : "";
    const { origin, pathname } = new URL(request.url);
    return new CannotConnect(
      `${origin} does not answer ${request.method} ${pathname}: ${reasonOf(cause)}${tries}. ` +
        "Is the server up, and is this its URL?",
      { cause },
    );
  }
}

/** Node says "fetch failed", and in the cause why. */
function reasonOf(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  return failure.cause instanceof Error ? reasonOf(failure.cause) : failure.message || failure.name;
}

/** The server refused the request. */
export class AnswerError extends ClientError {
  override name = "AnswerError";
  /** The HTTP status. */
  readonly status: number;
  /** The server's `error_code`, such as `NOT_FOUND`; see the page "Errors". */
  readonly code: string;
  /** The server's sentence. */
  readonly detail: string;
  /** Names the request in the server's log. */
  readonly requestId: string;
  /** The message for each field that is wrong, by its place, such as `{"budget.tokens": "…"}`. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(request: Request, status: number, problem: Problem) {
    const { origin, pathname } = new URL(request.url);
    const words = `${request.method} ${origin}${pathname} was answered ${status}: ${problem.detail}`;
    const reference = problem.requestId && `[request ${problem.requestId}]`;
    super([words, REMEDIES[status], reference].filter(Boolean).join(" "));
    this.status = status;
    this.code = problem.code;
    this.detail = problem.detail;
    this.requestId = problem.requestId;
    this.fields = problem.fields;
  }
}

/** The token is missing, wrong or expired. */
export class Unauthorized extends AnswerError {
  override name = "Unauthorized";
}

/** The token lacks the scope. */
export class Forbidden extends AnswerError {
  override name = "Forbidden";
}

/** There is no such thing, or this token may not see it. */
export class NotFound extends AnswerError {
  override name = "NotFound";
}

/** The request does not fit the state of what it names, such as a decision about a run that has finished. */
export class Conflict extends AnswerError {
  override name = "Conflict";
}

/** A value of the request is wrong: see `fields`. */
export class InvalidInput extends AnswerError {
  override name = "InvalidInput";
}

/** The server accepts no more requests or runs of this caller for now, and retries did not help. */
export class TooManyRequests extends AnswerError {
  override name = "TooManyRequests";
}

/** The server, or a proxy in front of it, failed. */
export class ServerError extends AnswerError {
  override name = "ServerError";
}

/** A run did not complete. */
export class NotCompleted extends ClientError {
  override name = "NotCompleted";
  /** The run as it was last read. */
  readonly run: Run;

  /** @param words what became of it. */
  constructor(run: Run, words: string) {
    super(`run ${run.run_id} ${words}`);
    this.run = run;
  }
}

/** A run ended in ERROR. `run.error` has the code, and whether the same run may succeed another time. */
export class RunFailed extends NotCompleted {
  override name = "RunFailed";
}

/** A run was cancelled. */
export class RunCancelled extends NotCompleted {
  override name = "RunCancelled";
}

/** A run waits for a person: see `requirementsOf(run)`. */
export class RunPaused extends NotCompleted {
  override name = "RunPaused";
}

/** A run had not finished when the time to wait for it was over. It goes on. */
export class StillRunning extends NotCompleted {
  override name = "StillRunning";
}

const BY_STATUS: Record<number, typeof AnswerError> = {
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  409: Conflict,
  429: TooManyRequests,
};

/**
 * The error that an answer stands for.
 *
 * @param response one that is of no use; its body was not read.
 * @param detail why, if the server did not say that the request failed.
 */
export async function errorOf(request: Request, response: Response, detail?: string): Promise<AnswerError> {
  const { status } = response;
  const kind = BY_STATUS[status] ?? (status >= 400 && status < 500 ? InvalidInput : ServerError);
  const problem = await problemOf(response);
  return new kind(request, status, {
    ...problem,
    detail: detail ?? (problem.detail || response.statusText || "No reason."),
  });
}
