import { ArrowLeft, Users } from "lucide-react";
import { Link, useLocation } from "wouter";
import type { ComponentKind } from "../api/types";
import { useParams } from "../app/hashLocation";
import { usePageTitle } from "../app/pageTitle";
import { plural } from "../shared/format";
import { useKeys } from "../shared/keyboard";
import { EmptyState, UnreadPage } from "../shared/PageStates";
import { useIsPhone } from "../shared/useIsPhone";
import { StartForm } from "../start/StartForm";
import { ComponentView } from "./ComponentView";
import {
  type Component,
  componentKey,
  componentPath,
  type Directory,
  type DirectoryEntry,
  describe,
  ownTools,
} from "./component";
import { useDirectory } from "./queries";

const KINDS = ["team", "agent", "workflow"] as const;

export default function TeamsPage({ componentId }: { componentId: string | null }) {
  usePageTitle("Teams");
  const { directory, error, refetch } = useDirectory();
  if (directory === undefined) return <UnreadPage title="Teams" error={error} onRetry={refetch} />;
  return <Panes directory={directory} componentId={componentId} />;
}

function Panes({ directory, componentId }: { directory: Directory; componentId: string | null }) {
  const [params] = useParams();
  const isPhone = useIsPhone();
  const [, navigate] = useLocation();
  const entries = [
    ...directory.teams.map(entryOf("team")),
    ...directory.agents.map(entryOf("agent")),
    ...directory.workflows.map(entryOf("workflow")),
  ];
  const entry = selected(directory, entries, componentId, params.get("kind"), isPhone);
  const move = (step: 1 | -1) => {
    const index = entries.findIndex(
      (one) => entry && one.kind === entry.kind && one.component.id === entry.component.id,
    );
    const next = entries[index + step];
    if (next) navigate(componentPath(next.kind, next.component.id));
  };
  useKeys("Teams", [
    { keys: "j", label: "Next in the list", run: () => move(1) },
    { keys: "k", label: "Previous in the list", run: () => move(-1) },
  ]);
  const isListShown = !isPhone || entry === undefined;
  return (
    <div className="panes panes-teams">
      {isListShown ? (
        <nav className="pane-list" aria-label="Teams, agents and workflows">
          <div className="pane-list-head">
            <h1>Teams</h1>
          </div>
          {entries.length === 0 ? (
            <EmptyState icon={Users} title="No teams">
              The server declares no team, agent or workflow that you can see.
            </EmptyState>
          ) : null}
          {directory.teams.length > 0 ? <h2 className="list-group">Teams</h2> : null}
          <List kind="team" components={directory.teams} entry={entry} />
          {directory.agents.length > 0 ? <h2 className="list-group">Agents</h2> : null}
          <List kind="agent" components={directory.agents} entry={entry} />
          {directory.workflows.length > 0 ? <h2 className="list-group">Workflows</h2> : null}
          <List kind="workflow" components={directory.workflows} entry={entry} />
        </nav>
      ) : null}
      {entry === undefined ? (
        isPhone && componentId === null ? null : (
          <Missing componentId={componentId} />
        )
      ) : (
        <Selected entry={entry} isPhone={isPhone} />
      )}
    </div>
  );
}

function Selected({ entry, isPhone }: { entry: DirectoryEntry; isPhone: boolean }) {
  const { kind, component } = entry;
  const key = componentKey(kind, component.id);
  return (
    <>
      <section className="pane-main" aria-label={component.name}>
        {isPhone ? (
          <Link href="/teams" className="back-link only-phone">
            <ArrowLeft className="icon-small" aria-hidden="true" />
            All teams
          </Link>
        ) : null}
        <ComponentView key={key} entry={entry} isTop={isPhone} />
      </section>
      <section className="team-start" aria-labelledby="start-heading">
        <h2 id="start-heading" className="mb-5 text-title font-semibold">
          Start a run
        </h2>
        <StartForm key={key} draftKey={`teams ${key}`} target={{ kind, id: component.id }} component={component} />
      </section>
    </>
  );
}

function Missing({ componentId }: { componentId: string | null }) {
  return (
    <section className="pane-main" aria-label="Selected team">
      {componentId === null ? null : (
        <EmptyState icon={Users} title={`${componentId} is not declared here`}>
          It may have been removed or renamed, or you may not have access.
        </EmptyState>
      )}
    </section>
  );
}

interface ListProps {
  kind: ComponentKind;
  components: readonly Component[];
  entry: DirectoryEntry | undefined;
}

function List({ kind, components, entry }: ListProps) {
  return (
    <ul>
      {components.map((component) => {
        const isCurrent = entry?.kind === kind && entry.component.id === component.id;
        return (
          <li key={component.id}>
            <Link
              href={componentPath(kind, component.id)}
              className="list-item"
              aria-current={isCurrent ? "true" : undefined}
            >
              <span className="flex items-baseline gap-2">
                <b className="truncate font-semibold">{component.name}</b>
                <span className="ml-auto flex-none text-meta text-ink-3">{sizeText(kind, component)}</span>
              </span>
              <span className="block text-meta text-ink-3">{describe(component)}</span>
            </Link>
          </li>
        );
      })}
    </ul>
  );
}

function sizeText(kind: ComponentKind, component: Component): string {
  if (kind === "workflow") return "";
  if (component.members !== undefined) return plural(component.members.length, "member");
  return plural(ownTools(component).length, "tool");
}

function entryOf(kind: ComponentKind) {
  return (component: Component): DirectoryEntry => ({ kind, component, above: [] });
}

function selected(
  directory: Directory,
  entries: readonly DirectoryEntry[],
  componentId: string | null,
  kind: string | null,
  isPhone: boolean,
): DirectoryEntry | undefined {
  if (componentId === null) return isPhone ? undefined : entries[0];
  const [team, agent, workflow] = KINDS.map((one) => directory.byKey.get(componentKey(one, componentId)));
  if (kind === "workflow") return workflow;
  return kind === "agent" ? agent : (team ?? agent ?? workflow);
}
