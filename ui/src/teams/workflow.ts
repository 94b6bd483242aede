/** A workflow's declared steps, as `GET /workflows/{workflow_id}` shows them. */

import type { Schemas } from "musterd-client";
import type { ComponentKind } from "../api/types";
import { plural } from "../shared/format";

/** The document of the API leaves nested steps open. */
export type WorkflowStep = Omit<Schemas["WorkflowStep"], "steps" | "else_steps"> & {
  steps?: WorkflowStep[];
  else_steps?: WorkflowStep[];
};

export type Workflow = Omit<Schemas["WorkflowResponse"], "steps"> & { steps: WorkflowStep[] };

/** A kind of step in words; null for a plain one, which says by what it runs. */
export function kindText(step: WorkflowStep): string | null {
  if (step.type === "Step") return null;
  return step.type === "Loop" ? `Loop, at most ${plural(step.max_iterations ?? 0, "time")}` : step.type;
}

export interface Runner {
  kind: ComponentKind;
  id: string;
  name: string;
}

/** The agent, team or workflow that a step runs; null: a function, or the steps below it. */
export function runnerOf({ agent, team, workflow }: WorkflowStep): Runner | null {
  if (agent !== undefined) return { kind: "agent", id: agent.id, name: agent.name };
  if (team !== undefined) return { kind: "team", id: team.id, name: team.name };
  return workflow === undefined ? null : { kind: "workflow", id: workflow.id, name: workflow.name };
}

/** For what a step needs a person, if it does. */
export function personText(step: WorkflowStep): string | null {
  if (step.requires_user_input) return step.type === "Router" ? "a person chooses" : "a person fills in values";
  if (step.requires_confirmation) return "needs approval";
  return step.on_error === "pause" ? "asks a person after an error" : null;
}

/** Whether messages are JSON objects. The schema of a workflow that is one function describes its other parameters. */
export function takesJsonMessages(workflow: Workflow): boolean {
  return workflow.steps.length > 0 && workflow.input_schema !== null && workflow.input_schema !== undefined;
}
