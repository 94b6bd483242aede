import { Hand } from "lucide-react";
import { Link } from "wouter";
import type { ComponentKind } from "../api/types";
import { Time } from "../shared/Figures";
import { Status } from "../shared/Status";
import { shownStatus } from "../shared/status";
import { asksPerson, type Component, componentPath, type DirectoryEntry, describe, ownTools } from "./component";
import { useLastRuns } from "./queries";
import { WorkflowSteps } from "./WorkflowSteps";

const PART = "text-meta font-semibold text-ink-2";

export interface ComponentViewProps {
  entry: DirectoryEntry;
  /** Its name is the page's heading. */
  isTop: boolean;
}

/** A team with its members and tools, an agent with its tools, or a workflow with its steps; and its last runs. */
export function ComponentView({ entry, isTop }: ComponentViewProps) {
  const { kind, component, above } = entry;
  const Heading = isTop ? "h1" : "h2";
  const Part = isTop ? "h2" : "h3";
  return (
    <>
      {above.length > 0 ? <p className="mb-1 text-meta text-ink-3">Member of {above.join(", ")}</p> : null}
      <div className="mb-0.5 flex flex-wrap items-center gap-2">
        <Heading className="text-title font-semibold">{component.name}</Heading>
        {component.mode ? <span className="tag">{component.mode}</span> : null}
        {component.model ? (
          <span className="tag tag-code" data-tone="model">
            {component.model.model}
          </span>
        ) : null}
      </div>
      <p className="mb-5 text-ink-2">{describe(component)}</p>
      {ownTools(component).length > 0 ? (
        <>
          <Part className={`${PART} mb-1.5`}>Tools</Part>
          <div className="mb-5">
            <Tools component={component} />
          </div>
        </>
      ) : null}
      {component.members && component.members.length > 0 ? (
        <>
          <Part className={`${PART} mb-1.5`}>Members</Part>
          <ul className="member-tree">
            {component.members.map((member) => (
              <Member key={member.id} member={member} />
            ))}
          </ul>
        </>
      ) : null}
      {kind === "workflow" ? (
        <>
          <Part className={`${PART} mb-1.5`}>Steps</Part>
          <WorkflowSteps id={component.id} />
        </>
      ) : null}
      {hasQuestions(component) ? (
        <p className="mt-4 text-meta text-ink-3">
          <Hand className="icon-small inline align-[-2px]" aria-hidden="true" /> needs a person for each call
        </p>
      ) : null}
      <LastRuns kind={kind} id={component.id} Heading={Part} />
    </>
  );
}

function Member({ member }: { member: Component }) {
  const kind = member.members === undefined ? "agent" : "team";
  return (
    <li>
      <div>
        <Link href={componentPath(kind, member.id)} className="font-semibold hover:underline">
          {member.name}
        </Link>{" "}
        <span className="text-ink-3">{member.role ?? member.description ?? ""}</span>
      </div>
      <Tools component={member} />
      {member.members && member.members.length > 0 ? (
        <ul>
          {member.members.map((one) => (
            <Member key={one.id} member={one} />
          ))}
        </ul>
      ) : null}
    </li>
  );
}

function Tools({ component }: { component: Component }) {
  const tools = ownTools(component);
  if (tools.length === 0) return null;
  return (
    <div className="tool-tags">
      {tools.map((tool) => (
        <span key={tool.name} className="tag tag-code" data-tone="tool" title={tool.description ?? undefined}>
          {tool.name}
          {asksPerson(tool) ? (
            <>
              <Hand className="icon-small" aria-hidden="true" />
              <span className="sr-only">needs a person</span>
            </>
          ) : null}
        </span>
      ))}
    </div>
  );
}

interface LastRunsProps {
  kind: ComponentKind;
  id: string;
  Heading: "h2" | "h3";
}

function LastRuns({ kind, id, Heading }: LastRunsProps) {
  const runs = useLastRuns(kind, id);
  const rows = runs.data?.data ?? [];
  if (rows.length === 0) return null;
  return (
    <>
      <Heading className={`${PART} mt-6 mb-2`}>Last runs</Heading>
      <div className="panel run-rows">
        {rows.map((run) => (
          <Link key={run.run_id} href={`/runs/${encodeURIComponent(run.run_id)}`} className="run-row">
            <Status status={shownStatus(run)} />
            <span className="truncate">
              {run.waiting > 0 ? (
                <span className="tag mr-1.5" data-tone="wait">
                  <Hand className="icon-small" aria-hidden="true" />
                  Needs you
                </span>
              ) : null}
              {run.input}
            </span>
            <span className="text-meta text-ink-3">
              <Time at={run.created_at} />
            </span>
          </Link>
        ))}
      </div>
    </>
  );
}

function hasQuestions(component: Component): boolean {
  return ownTools(component).some(asksPerson) || (component.members ?? []).some(hasQuestions);
}
