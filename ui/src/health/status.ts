/** The state of the server, as `GET /-/status` and `GET /-/ready` tell it. */
import type { Schemas } from "musterd-client";

export type ServerStatus = Schemas["StatusResponse"];
export type ServerProcess = Schemas["ProcessStatus"];
export type Check = Schemas["Check"];

/** What `GET /-/ready` tells everybody, also with 503. */
export type Readiness = Pick<Schemas["NotReadyResponse"], "checks">;

export function checksOf(readiness: Readiness): Check[] {
  return Object.entries(readiness.checks).map(([name, state]) => ({
    name,
    ok: state === "ok",
    problem: state === "ok" ? null : state,
  }));
}
