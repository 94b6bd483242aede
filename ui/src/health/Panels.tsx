import type { ReactNode } from "react";
import { Time } from "../shared/Figures";
import {
  costOfTokens,
  formatBytes,
  formatCost,
  formatCount,
  formatDuration,
  formatTime,
  plural,
} from "../shared/format";
import { Status } from "../shared/Status";
import { goneProcesses } from "./goneProcesses";
import type { DayUsage } from "./queries";
import type { ServerProcess, ServerStatus } from "./status";
import { isStale } from "./verdict";

export function WorkPanel({ status }: { status: ServerStatus }) {
  const { queue, slots } = status;
  const wait = queue?.oldest_wait_seconds;
  return (
    <section className="panel health-wide work-panel" aria-labelledby="work">
      <h2 id="work">Work</h2>
      <dl className="work-figures">
        <Figure name="Running" value={slots.used} note={`of ${formatCount(slots.limit)} slots`} />
        <Figure name="Ready to start" value={queue?.ready} note={wait ? `oldest waits ${formatDuration(wait)}` : ""} />
        <Figure name="Need a person" value={queue?.approvals} note="" />
        <Figure name="Open streams" value={status.streams_open} note="" />
      </dl>
      {queue && queue.queued + queue.scheduled > 0 ? (
        <p className="border-t border-line px-4 py-2 text-meta text-ink-3">
          {laterText(queue.queued, queue.scheduled)}
        </p>
      ) : null}
    </section>
  );
}

/** "2 runs wait for an earlier run of the same session, 1 run starts later". */
function laterText(queued: number, scheduled: number): string {
  const waiting = `${plural(queued, "run waits", "runs wait")} for an earlier run of the same session`;
  const starting = `${plural(scheduled, "run starts", "runs start")} later`;
  return [queued > 0 ? waiting : "", scheduled > 0 ? starting : ""].filter(Boolean).join(", ");
}

function Figure({ name, value, note }: { name: string; value: number | null | undefined; note: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <b>{formatCount(value)}</b> <span>{note}</span>
      </dd>
    </div>
  );
}

export function ModelsPanel({ status }: { status: ServerStatus }) {
  return (
    <section className="panel health-wide" aria-labelledby="models">
      <h2 id="models">
        Models<span>calls of this process since {formatTime(status.started_at, status.now)}</span>
      </h2>
      <table className="health-table">
        <thead>
          <tr>
            <th scope="col">Model</th>
            <Numeric>Calls</Numeric>
            <Numeric>Failed</Numeric>
            <Numeric isDeskOnly>Retries</Numeric>
            <Numeric>Tokens</Numeric>
            <Numeric isDeskOnly>First token</Numeric>
            <Numeric>Cost</Numeric>
          </tr>
        </thead>
        <tbody>
          {status.models.map((model) => (
            <tr key={`${model.provider}/${model.id}`}>
              <td className="mono" title={model.provider}>
                {model.id}
              </td>
              <td className="numeric">{formatCount(model.calls)}</td>
              <td className={model.failed > 0 ? "numeric text-fail" : "numeric text-ink-3"}>
                {formatCount(model.failed)}
              </td>
              <td className="numeric only-desk">{formatCount(model.retries)}</td>
              <td className="numeric">{formatCount(model.tokens)}</td>
              <td className="numeric only-desk">{formatDuration(model.first_token_seconds)}</td>
              <td className="numeric">{formatCost(costOfTokens(model.cost, model.tokens), "unknown")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Numeric({ isDeskOnly = false, children }: { isDeskOnly?: boolean; children: ReactNode }) {
  return (
    <th scope="col" className={isDeskOnly ? "numeric only-desk" : "numeric"}>
      {children}
    </th>
  );
}

const DATABASES: Record<string, string> = { sqlite: "SQLite", postgres: "PostgreSQL" };

export function DatabasePanel({ status }: { status: ServerStatus }) {
  const { database, upkeep } = status;
  return (
    <section className="panel health-narrow" aria-labelledby="database">
      <h2 id="database">Database</h2>
      <dl className="kv health-kv">
        <dt>Kind</dt>
        <dd>{[DATABASES[database.kind] ?? database.kind, database.version].filter(Boolean).join(" ")}</dd>
        <dt>Size</dt>
        <dd>{formatBytes(database.size_bytes)}</dd>
        <dt>Schema</dt>
        <dd>{database.schema ?? "–"}</dd>
        <dt>Commit</dt>
        <dd>{formatDuration(database.commit_seconds)}</dd>
        <dt>Old runs</dt>
        <dd>{upkeep.retention_days === null ? "kept" : `removed after ${plural(upkeep.retention_days, "day")}`}</dd>
      </dl>
    </section>
  );
}

export function ProcessesPanel({ status }: { status: ServerStatus }) {
  return (
    <section className="panel health-wide" aria-labelledby="processes">
      <h2 id="processes">
        Processes<span>musterd {status.version}</span>
      </h2>
      <table className="health-table">
        <thead>
          <tr>
            <th scope="col">Process</th>
            <th scope="col">Status</th>
            <th scope="col" className="only-desk">
              Version
            </th>
            <Numeric>Runs</Numeric>
            <Numeric>Last heartbeat</Numeric>
          </tr>
        </thead>
        <tbody>
          {status.processes.map((process) => (
            <ProcessRow key={process.id} process={process} now={status.now} />
          ))}
          {goneProcesses(status.processes).map((process) => (
            <ProcessRow key={process.id} process={process} now={status.now} isGone />
          ))}
        </tbody>
      </table>
    </section>
  );
}

const ROLES: Record<string, string> = { server: "Serving", api: "Serving requests", worker: "Running runs" };

interface ProcessRowProps {
  process: ServerProcess;
  now: number;
  isGone?: boolean;
}

function ProcessRow({ process, now, isGone = false }: ProcessRowProps) {
  const isSilent = isGone || isStale(process, now);
  const role = ROLES[process.role] ?? process.role;
  return (
    <tr>
      <td title={`${process.host}, process ${process.pid}`}>
        <code className="whitespace-nowrap">{process.id.slice(0, 8)}</code>{" "}
        {process.is_this && !isGone ? <span className="tag">this one</span> : null}
      </td>
      <td>
        <Status
          status={isSilent ? "CANCELLED" : "COMPLETED"}
          label={isGone ? "Gone" : isSilent ? "No heartbeat" : role}
        />
      </td>
      <td className="only-desk">{process.version}</td>
      <td className="numeric">{isGone ? "–" : formatCount(process.runs)}</td>
      <td className="numeric">
        {process.last_beat_at === null || isSilent ? (
          <Time at={process.last_beat_at} />
        ) : (
          `${wholeSeconds(now - process.last_beat_at)} ago`
        )}
      </td>
    </tr>
  );
}

/** `1 s`: a heartbeat is not exact to the millisecond. */
function wholeSeconds(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  return whole < 60 ? `${whole}\u202fs` : formatDuration(whole);
}

export function UsagePanel({ usage }: { usage: DayUsage }) {
  return (
    <section className="panel health-narrow" aria-labelledby="today">
      <h2 id="today">
        Today<span>UTC</span>
      </h2>
      <dl className="kv health-kv">
        <dt>Runs</dt>
        <dd>{formatCount(usage.team_runs_count + usage.agent_runs_count + usage.workflow_runs_count)}</dd>
        <dt>Sessions</dt>
        <dd>{formatCount(usage.team_sessions_count + usage.agent_sessions_count + usage.workflow_sessions_count)}</dd>
        <dt>Users</dt>
        <dd>{formatCount(usage.users_count)}</dd>
        <dt>Tokens</dt>
        <dd>{formatCount(usage.token_metrics.total_tokens)}</dd>
      </dl>
    </section>
  );
}
