/** The calls on what a server has: teams, runs, sessions, approvals, traces. */
import { dataOf } from "./api.js";
import type { Connection } from "./connection.js";
import { Conflict } from "./errors.js";
import { jsonText } from "./jsonText.js";
import { readEvents, readRun, type StreamOptions } from "./runCalls.js";
import { idOf } from "./runs.js";
import type { operations } from "./schema.js";
import type {
  Agent,
  Approval,
  CallOptions,
  Run,
  RunEventsPage,
  RunMessage,
  RunRef,
  RunStep,
  Schemas,
  Session,
  Team,
  Trace,
  Workflow,
} from "./types.js";

type Query<Name extends keyof operations> = NonNullable<operations[Name]["parameters"]["query"]>;

/** Which runs are listed. */
export type RunFilters = Omit<Query<"list_runs">, "view">;
/** Which sessions are listed. */
export type SessionFilters = Omit<Query<"get_sessions">, "db_id" | "table">;
/** Which approvals are listed. */
export type ApprovalFilters = Query<"list_approvals_approvals_get">;
/** Which traces are listed. */
export type TraceFilters = Omit<Query<"get_traces">, "db_id">;

class Resource {
  protected readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  protected get api() {
    return this.connection.api;
  }
}

async function listRuns(
  { api }: Connection,
  filters: RunFilters,
  options: CallOptions,
): Promise<Schemas["RunSummaryPage"]> {
  const params = { query: { ...filters, view: "summary" as const } };
  return (await dataOf(api.GET("/runs", { params, ...options }))) as Schemas["RunSummaryPage"];
}

/** The teams of the server. */
export class Teams extends Resource {
  async list(options: CallOptions = {}): Promise<Team[]> {
    return dataOf(this.api.GET("/teams", options));
  }

  /** One of them, with its members, tools and model. */
  async get(teamId: string, options: CallOptions = {}): Promise<Team> {
    return dataOf(this.api.GET("/teams/{team_id}", { params: { path: { team_id: teamId } }, ...options }));
  }
}

/** The agents of the server. */
export class Agents extends Resource {
  async list(options: CallOptions = {}): Promise<Agent[]> {
    return dataOf(this.api.GET("/agents", options));
  }

  /** One of them, with its tools and model. */
  async get(agentId: string, options: CallOptions = {}): Promise<Agent> {
    return dataOf(this.api.GET("/agents/{agent_id}", { params: { path: { agent_id: agentId } }, ...options }));
  }
}

/** The workflows of the server. */
export class Workflows extends Resource {
  async list(options: CallOptions = {}): Promise<Schemas["WorkflowSummary"][]> {
    return dataOf(this.api.GET("/workflows", options));
  }

  /** One of them, with its steps. */
  async get(workflowId: string, options: CallOptions = {}): Promise<Workflow> {
    const params = { path: { workflow_id: workflowId } };
    return dataOf(this.api.GET("/workflows/{workflow_id}", { params, ...options }));
  }
}

/** The runs of all teams, agents and workflows. */
export class Runs extends Resource {
  /** List runs, newest first. */
  async list(filters: RunFilters = {}, options: CallOptions = {}): Promise<Schemas["RunSummaryPage"]> {
    return listRuns(this.connection, filters, options);
  }

  /** A run as it is now. */
  async get(run: RunRef, options: CallOptions = {}): Promise<Run> {
    return readRun(this.connection, run, options);
  }

  /** A run as a list has it, with its members and attempts, but without its conversation. */
  async summary(run: RunRef, options: CallOptions = {}): Promise<Schemas["RunSummaryDetails"]> {
    const params = { path: { run_id: idOf(run) }, query: { view: "summary" as const } };
    return (await dataOf(this.api.GET("/runs/{run_id}", { params, ...options }))) as Schemas["RunSummaryDetails"];
  }

  /** Everything that is stored of a run, its journal too, as the text of one JSON object. */
  async export(run: RunRef, options: CallOptions = {}): Promise<Blob> {
    const params = { path: { run_id: idOf(run) } };
    return dataOf(this.api.GET("/runs/{run_id}/export", { params, parseAs: "blob", ...options }));
  }

  /** Every model call, tool call and delegation of a run and its members, in the order of their start. */
  async steps(run: RunRef, options: CallOptions = {}): Promise<RunStep[]> {
    return dataOf(this.api.GET("/runs/{run_id}/steps", { params: { path: { run_id: idOf(run) } }, ...options }));
  }

  /** One step, with its arguments and its result. */
  async step(run: RunRef, path: string, options: CallOptions = {}): Promise<RunStep | undefined> {
    const params = { path: { run_id: idOf(run) }, query: { path } };
    const [step] = await dataOf(this.api.GET("/runs/{run_id}/steps", { params, ...options }));
    return step;
  }

  /** A page of the stored events of a run. `client.stream` waits for those that follow. */
  async events(run: RunRef, options: StreamOptions & { limit?: number } = {}): Promise<RunEventsPage> {
    return readEvents(this.connection, run, options);
  }

  /** The messages that were sent to a run while it ran, and when each was read. */
  async messages(run: RunRef, options: CallOptions = {}): Promise<RunMessage[]> {
    return dataOf(this.api.GET("/runs/{run_id}/messages", { params: { path: { run_id: idOf(run) } }, ...options }));
  }
}

/** Conversations. */
export class Sessions extends Resource {
  async list(
    filters: SessionFilters = {},
    options: CallOptions = {},
  ): Promise<Schemas["PaginatedResponse_SessionSchema_"]> {
    return dataOf(this.api.GET("/sessions", { params: { query: filters }, ...options }));
  }

  /** One session with its messages. */
  async get(sessionId: string, options: CallOptions = {}): Promise<Session> {
    return dataOf(this.api.GET("/sessions/{session_id}", { params: { path: { session_id: sessionId } }, ...options }));
  }

  /** List the runs of a session, newest first. */
  async runs(
    sessionId: string,
    filters: Omit<RunFilters, "session_id"> = {},
    options: CallOptions = {},
  ): Promise<Schemas["RunSummaryPage"]> {
    return listRuns(this.connection, { ...filters, session_id: sessionId }, options);
  }

  /** Set a session's name. */
  async rename(sessionId: string, name: string, options: CallOptions = {}): Promise<Session> {
    const init = { params: { path: { session_id: sessionId } }, body: { session_name: name }, ...options };
    return dataOf(this.api.POST("/sessions/{session_id}/rename", init));
  }

  /** Delete a session with all its runs. An id that does not exist is ignored. */
  async delete(sessionId: string, options: CallOptions = {}): Promise<void> {
    await this.api.DELETE("/sessions/{session_id}", { params: { path: { session_id: sessionId } }, ...options });
  }
}

/** What a decision about an approval may say. */
export interface ResolveOptions extends CallOptions {
  /** Who decides; with a token, its user does. */
  resolvedBy?: string;
}

/** The decisions that runs wait for, or have waited for. */
export class Approvals extends Resource {
  /** List approvals, newest first; by default those that wait. */
  async list(
    filters: ApprovalFilters = { status: "pending" },
    options: CallOptions = {},
  ): Promise<Schemas["PaginatedResponse_ApprovalResponse_"]> {
    return dataOf(this.api.GET("/approvals", { params: { query: filters }, ...options }));
  }

  async get(approvalId: string, options: CallOptions = {}): Promise<Approval> {
    const params = { path: { approval_id: approvalId } };
    return dataOf(this.api.GET("/approvals/{approval_id}", { params, ...options }));
  }

  /**
   * Let the call be made.
   *
   * @param options `values`: arguments that are filled in or changed; `result`: of a call that was made elsewhere.
   */
  async approve(
    approvalId: string,
    options: ResolveOptions & { values?: Readonly<Record<string, unknown>>; result?: string } = {},
  ): Promise<Approval> {
    const { values, result, ...rest } = options;
    return this.#resolve(
      approvalId,
      "approved",
      { ...(values && { values }), ...(result !== undefined && { result }) },
      rest,
    );
  }

  /**
   * Do not let the call be made.
   *
   * @param options `note`: the reason, which the model reads.
   */
  async reject(approvalId: string, options: ResolveOptions & { note?: string } = {}): Promise<Approval> {
    const { note, ...rest } = options;
    return this.#resolve(approvalId, "rejected", note ? { note } : {}, rest);
  }

  async #resolve(
    approvalId: string,
    status: Schemas["Decision"],
    data: Record<string, unknown>,
    { resolvedBy, ...options }: ResolveOptions,
  ): Promise<Approval> {
    const body = {
      status,
      resolved_by: resolvedBy ?? null,
      resolution_data: Object.keys(data).length > 0 ? data : null,
    };
    const init = { params: { path: { approval_id: approvalId } }, body, ...options };
    try {
      return await dataOf(this.api.POST("/approvals/{approval_id}/resolve", init));
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      // Either somebody else has decided, or this decision was stored and its answer was lost.
      const approval = await this.get(approvalId, options);
      const isSame =
        approval.status === status &&
        (resolvedBy ?? approval.resolved_by) === approval.resolved_by &&
        jsonText(approval.resolution_data) === jsonText(body.resolution_data);
      if (!isSame) throw error;
      return approval;
    }
  }
}

/** Traces of runs. */
export class Traces extends Resource {
  /** List traces, newest first. */
  async list(
    filters: TraceFilters = {},
    options: CallOptions = {},
  ): Promise<Schemas["PaginatedResponse_TraceSummary_"]> {
    return dataOf(this.api.GET("/traces", { params: { query: filters }, ...options }));
  }

  /** One trace, with its spans in `tree`. */
  async get(traceId: string, options: CallOptions = {}): Promise<Trace> {
    const params = { path: { trace_id: traceId } };
    return (await dataOf(this.api.GET("/traces/{trace_id}", { params, ...options }))) as Trace;
  }
}
