/** The client of a server. */
import type { Api } from "./api.js";
import { type ClientOptions, Connection } from "./connection.js";
import { Agents, Approvals, Runs, Sessions, Teams, Traces, Workflows } from "./resources.js";
import { RunCalls } from "./runCalls.js";

/**
 * A client of a musterd server, in Node and in browsers.
 *
 * Calls that fail for a while, as during a restart, are retried. A run is never started twice.
 */
export class Client extends RunCalls {
  readonly teams: Teams;
  readonly agents: Agents;
  readonly workflows: Workflows;
  readonly runs: Runs;
  readonly sessions: Sessions;
  readonly approvals: Approvals;
  readonly traces: Traces;
  /**
   * Every operation of the server, by its path: `const { data } = await client.api.GET("/memories")`. If an answer is
   * not a success, the call throws. Requests that may be sent twice are retried: all but POST and PATCH without an
   * `Idempotency-Key`.
   */
  readonly api: Api;

  constructor(options: ClientOptions = {}) {
    const connection = new Connection(options);
    super(connection);
    this.teams = new Teams(connection);
    this.agents = new Agents(connection);
    this.workflows = new Workflows(connection);
    this.runs = new Runs(connection);
    this.sessions = new Sessions(connection);
    this.approvals = new Approvals(connection);
    this.traces = new Traces(connection);
    this.api = connection.anyOperation();
  }
}
