/** The calls on runs: start one, wait for it, follow it, and act on it. */
import { dataOf } from "./api.js";
import { jitter, monotonic, sleep } from "./clock.js";
import type { Connection } from "./connection.js";
import { type Decision, decisionLists } from "./decisions.js";
import { StillRunning } from "./errors.js";
import { keyHeader, newKey } from "./requests.js";
import { resolveAsDecided } from "./resolutions.js";
import { runEvents } from "./runEvents.js";
import { idOf, isSettled } from "./runs.js";
import { type Message, type StartOptions, sendStart, startBody } from "./startRequest.js";
import type { CallOptions, Run, RunEvent, RunEventsPage, RunMessage, RunReceipt, RunRef, Schemas } from "./types.js";

/** How long a poll has the server wait for the run's end. Proxies commonly close what is silent for a minute. */
const POLL_SECONDS = 30;

export interface WaitOptions extends CallOptions {
  /** The longest wait; by default as long as the run takes. */
  waitSeconds?: number;
}

export interface StreamOptions extends CallOptions {
  /** Only events after this index. */
  after?: number;
}

/** The calls that the client itself has. */
export class RunCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Start a run in the background. The server has stored it when this returns. */
  async start(component: string, message: Message, options: StartOptions = {}): Promise<RunReceipt> {
    const { kind = "team", idempotencyKey = newKey(), signal } = options;
    const request = { kind, component, body: startBody(message, options), idempotencyKey, ...(signal && { signal }) };
    return receiptOf(await sendStart(this.#connection.api, request));
  }

  /** Start a run and wait for it: `start` and `wait`. */
  async run(component: string, message: Message, options: StartOptions & WaitOptions = {}): Promise<Run> {
    const { waitSeconds, ...rest } = options;
    return this.wait(await this.start(component, message, rest), options);
  }

  /**
   * Wait until a run has finished, or pauses for a person. The wait continues across restarts of the server.
   *
   * @throws StillRunning it was at work all that time.
   */
  async wait(run: RunRef, options: WaitOptions = {}): Promise<Run> {
    const deadline = monotonic() + (options.waitSeconds ?? Number.POSITIVE_INFINITY);
    for (;;) {
      const polledAt = monotonic();
      const seconds = Math.max(Math.min(POLL_SECONDS, deadline - polledAt), 0);
      const view = await readRun(this.#connection, run, { ...options, serverSeconds: seconds, deadline });
      if (isSettled(view)) return view;
      const now = monotonic();
      if (now >= deadline) throw new StillRunning(view, `has not finished: its status is ${view.status}`);
      // A server that is stopping does not wait.
      if (now - polledAt < seconds / 2) await sleep(Math.min(jitter(1), deadline - now), options.signal);
    }
  }

  /**
   * The events of a run and its members, from the first one on, until it finishes or pauses.
   *
   * If the connection breaks or the server restarts, the stream goes on where it was: each event comes once, and in
   * order.
   */
  stream(run: RunRef, { after = -1, signal }: StreamOptions = {}): AsyncGenerator<RunEvent, void, undefined> {
    const connection = this.#connection;
    const runId = idOf(run);
    const source = {
      runId,
      request: (index: number) => connection.eventsRequest(runId, index, signal),
      page: (index: number) => readEvents(connection, runId, { after: index, limit: 1, ...(signal && { signal }) }),
    };
    return runEvents(connection.requests, source, after);
  }

  /** Cancel a run with its members, or a member's run alone. Returns when it has stopped, or after a while. */
  async cancel(run: RunRef, options: CallOptions = {}): Promise<RunReceipt> {
    const init = { params: this.#once(run), ...options };
    return receiptOf(await dataOf(this.#connection.api.POST("/runs/{run_id}/cancel", init)));
  }

  /**
   * Decide about what a paused run waits for. It goes on after the first decision, and pauses for the others.
   *
   * Calls of tools with `approval="required"` are decided in the inbox, which needs the scope `approvals:write`.
   */
  async decide(run: RunRef, decisions: readonly Decision[], options: CallOptions = {}): Promise<RunReceipt> {
    if (decisions.length === 0) throw new TypeError("give at least one decision, such as requirement.approve()");
    // A request each. If this process ends in between, the run goes on with the decisions that are stored.
    for (const decision of decisions) {
      if (decision.isForInbox) await resolveAsDecided(this.#connection, decision, options);
    }
    const others = decisions.filter((decision) => !decision.isForInbox);
    if (others.length > 0) return this.#continue(run, decisionLists(others), options);
    return receiptOf(await readRun(this.#connection, run, options));
  }

  /**
   * Start a new run that continues a failed one where it stopped. What was done is not repeated.
   *
   * @param options `budget`: of the new run.
   */
  async continue(run: RunRef, options: CallOptions & { budget?: Record<string, number> } = {}): Promise<RunReceipt> {
    const { budget, ...rest } = options;
    return this.#continue(run, budget ? { budget } : {}, rest);
  }

  /**
   * Start a new run that takes over a finished one up to a step, and goes on from there.
   *
   * @param fromStep the path of the step, as `runs.steps` lists it.
   */
  async fork(run: RunRef, fromStep: string, options: CallOptions = {}): Promise<RunReceipt> {
    return this.#continue(run, { from_step: fromStep }, options);
  }

  /** Start a new run in the same session, with the same message, files and options. */
  async rerun(run: RunRef, options: CallOptions = {}): Promise<RunReceipt> {
    const init = { params: this.#once(run), ...options };
    return receiptOf(await dataOf(this.#connection.api.POST("/runs/{run_id}/rerun", init)));
  }

  /**
   * Send a message to a running run. Its next model call reads it.
   *
   * @param options `memberRunId`: the run of the member that is to read it, in place of the leader.
   */
  async steer(run: RunRef, message: string, options: CallOptions & { memberRunId?: string } = {}): Promise<RunMessage> {
    const { memberRunId, ...rest } = options;
    const body = { message, member_run_id: memberRunId ?? null };
    const init = { params: this.#once(run), body, ...rest };
    return dataOf(this.#connection.api.POST("/runs/{run_id}/messages", init));
  }

  async #continue(run: RunRef, fields: Partial<Schemas["ContinueAnyForm"]>, options: CallOptions): Promise<RunReceipt> {
    const body = { background: true, stream: false, ...fields };
    const init = { params: this.#once(run), body, ...options };
    return receiptOf(await dataOf(this.#connection.api.POST("/runs/{run_id}/continue", init)));
  }

  /** The parameters of a request that is done once. */
  #once(run: RunRef) {
    return { path: { run_id: idOf(run) }, header: keyHeader() };
  }
}

/**
 * Read a run.
 *
 * @param options `serverSeconds`: how long the server waits for its end; `deadline`: when a call that fails is not tried
 *   again.
 */
export async function readRun(
  connection: Connection,
  run: RunRef,
  { serverSeconds = 0, deadline, signal }: CallOptions & { serverSeconds?: number; deadline?: number } = {},
): Promise<Run> {
  const query = serverSeconds > 0 ? { wait: Number(serverSeconds.toFixed(3)) } : {};
  const view = await dataOf(
    connection.api.GET("/runs/{run_id}", {
      params: { path: { run_id: idOf(run) }, query },
      fetch: connection.sending({ serverSeconds, ...(deadline !== undefined && { deadline }) }),
      signal: signal ?? null,
    }),
  );
  return view as Run; // without `view=summary`
}

/** Read stored events of a run. */
export async function readEvents(
  connection: Connection,
  run: RunRef,
  { after = -1, limit = 1000, ...options }: StreamOptions & { limit?: number } = {},
): Promise<RunEventsPage> {
  const params = { path: { run_id: idOf(run) }, query: { after, limit } };
  return (await dataOf(connection.api.GET("/runs/{run_id}/events", { params, ...options }))) as RunEventsPage;
}

/** The server may send more, such as the output of a workflow. */
function receiptOf({ run_id, session_id, status }: RunReceipt): RunReceipt {
  return { run_id, session_id, status };
}
