/** Teams, agents and workflows, as `GET /teams`, `GET /agents` and `GET /workflows` list them. */

import type { Schemas } from "musterd-client";
import type { ComponentKind } from "../api/types";
import type { JsonObject } from "../approvals/approval";

export interface ToolSpec {
  name: string;
  description?: string | null;
  parameters?: JsonObject;
  requires_confirmation?: boolean;
  requires_user_input?: boolean;
  external_execution?: boolean;
}

/** A team, an agent or a workflow; the document of the API leaves tools open. */
export type Component = Pick<
  Schemas["AgentResponse"],
  "id" | "name" | "description" | "role" | "mode" | "input_schema"
> & {
  /** A workflow has none of its own. */
  model?: Schemas["AgentResponse"]["model"];
  tools?: { tools: ToolSpec[] } | null;
  /** Of teams only. */
  members?: Component[];
};

export interface Directory {
  teams: Component[];
  agents: Component[];
  workflows: Component[];
  /** Every component by kind and id, members too. */
  byKey: ReadonlyMap<string, DirectoryEntry>;
}

export interface DirectoryEntry {
  kind: ComponentKind;
  component: Component;
  /** The names of the teams above it, outermost first. */
  above: string[];
}

const DELEGATION = new Set(["delegate_task_to_member", "delegate_task_to_members"]);

/** Lists the teams and agents that stand alone; those that are members are found below their teams. */
export function toDirectory(
  teams: readonly Component[],
  agents: readonly Component[],
  workflows: readonly Component[],
): Directory {
  const memberKeys = new Set(
    teams.flatMap((team) => (team.members ?? []).map((member) => componentKey(kindOf(member), member.id))),
  );
  const isTop = (kind: ComponentKind) => (component: Component) => !memberKeys.has(componentKey(kind, component.id));
  const byKey = new Map<string, DirectoryEntry>();
  const visit = (kind: ComponentKind, component: Component, above: string[]): void => {
    byKey.set(componentKey(kind, component.id), { kind, component, above });
    for (const member of component.members ?? []) visit(kindOf(member), member, [...above, component.name]);
  };
  const directory = {
    teams: teams.filter(isTop("team")),
    agents: agents.filter(isTop("agent")),
    workflows: [...workflows],
    byKey,
  };
  for (const team of directory.teams) visit("team", team, []);
  for (const agent of directory.agents) visit("agent", agent, []);
  for (const workflow of directory.workflows) visit("workflow", workflow, []);
  return directory;
}

export function componentKey(kind: ComponentKind, id: string): string {
  return `${kind}:${id}`;
}

/** The tools that a component declares, without the one by which a leader delegates. */
export function ownTools(component: Component): ToolSpec[] {
  return (component.tools?.tools ?? []).filter((tool) => !DELEGATION.has(tool.name));
}

export function asksPerson(tool: ToolSpec): boolean {
  return [tool.requires_confirmation, tool.requires_user_input, tool.external_execution].includes(true);
}

export function isServed(directory: Directory, kind: ComponentKind, id: string): boolean {
  return directory.byKey.has(componentKey(kind, id));
}

export function describe(component: Component): string {
  return component.description ?? component.role ?? "";
}

function kindOf(component: Component): ComponentKind {
  return component.members === undefined ? "agent" : "team";
}

/** The page of a team, an agent or a workflow; all kinds may use the same id. */
export function componentPath(kind: ComponentKind, id: string): string {
  return `/teams/${encodeURIComponent(id)}${kind === "team" ? "" : `?kind=${kind}`}`;
}
