/** A client of a musterd server: start runs, wait for them, follow and steer them. */
export { type Api, type ApiOptions, createApi, dataOf } from "./api.js";
export { Client } from "./client.js";
export type { ClientOptions } from "./connection.js";
export { type Decision, Requirement, requirementsOf } from "./decisions.js";
export * from "./errors.js";
export { createEventParser, type EventParser, type ServerSentEvent } from "./eventParser.js";
export { jsonText } from "./jsonText.js";
export { type Problem, problemOf } from "./problem.js";
export { newKey } from "./requests.js";
export type { ResolveOptions } from "./resolutions.js";
export type {
  Agents,
  ApprovalFilters,
  Approvals,
  RunFilters,
  Runs,
  SessionFilters,
  Sessions,
  Teams,
  TraceFilters,
  Traces,
  Workflows,
} from "./resources.js";
export type { StreamOptions, WaitOptions } from "./runCalls.js";
export { isFinal, isSettled, requireCompleted } from "./runs.js";
export type { components, operations, paths } from "./schema.js";
export { type Message, type StartOptions, type StartRequest, sendStart } from "./startRequest.js";
export type * from "./types.js";
