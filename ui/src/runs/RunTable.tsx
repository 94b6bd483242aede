import { memo } from "react";
import { Link } from "wouter";
import type { RunSummary } from "../api/types";
import { Button } from "../shared/Button";
import { Duration, Time, Tokens } from "../shared/Figures";
import { formatCost } from "../shared/format";
import { Status } from "../shared/Status";
import { isFinal } from "../shared/status";
import { describeRun, listedStatus } from "./describe";
import type { OlderRuns } from "./useRunList";

export interface RunTableProps {
  active: readonly RunSummary[];
  ended: readonly RunSummary[];
  olderActive: OlderRuns | null;
  olderEnded: OlderRuns | null;
}

/** Runs as rows, on a phone as cards. */
export function RunTable({ active, ended, olderActive, olderEnded }: RunTableProps) {
  return (
    <table className="run-table">
      <caption className="sr-only">Runs</caption>
      <thead>
        <tr>
          <th scope="col" className="col-status">
            Status
          </th>
          <th scope="col" className="col-request">
            Request
          </th>
          <th scope="col">Activity or result</th>
          <th scope="col" className="numeric col-started">
            Started
          </th>
          <th scope="col" className="numeric col-duration">
            Duration
          </th>
          <th scope="col" className="numeric col-tokens">
            Tokens
          </th>
          <th scope="col" className="numeric col-cost">
            Cost
          </th>
        </tr>
      </thead>
      <Group title="Active" runs={active} older={olderActive} olderLabel="Show older active runs" />
      <Group title="Finished" runs={ended} older={olderEnded} olderLabel="Show older runs" />
    </table>
  );
}

interface GroupProps {
  title: string;
  runs: readonly RunSummary[];
  older: OlderRuns | null;
  olderLabel: string;
}

function Group({ title, runs, older, olderLabel }: GroupProps) {
  if (runs.length === 0 && older === null) return null;
  return (
    <tbody>
      <tr className="group">
        <th scope="rowgroup" colSpan={7}>
          {title}
        </th>
      </tr>
      {runs.map((run) => (
        <RunRow key={run.run_id} run={run} />
      ))}
      {older === null ? null : (
        <tr>
          <td colSpan={7}>
            <OlderRunsButton older={older} label={olderLabel} />
          </td>
        </tr>
      )}
    </tbody>
  );
}

function OlderRunsButton({ older, label }: { older: OlderRuns; label: string }) {
  return (
    <div className="more-runs">
      <Button kind="quiet" disabled={older.isLoading} onClick={older.load}>
        {older.isLoading ? "Loading" : label}
      </Button>
    </div>
  );
}

const RunRow = memo(function RunRow({ run }: { run: RunSummary }) {
  const line = describeRun(run);
  const end = run.ended_at ?? (isFinal(run.status) ? run.started_at : null);
  const details = [run.component_name || run.component_id, run.user_id ? `by ${run.user_id}` : null];
  return (
    <tr className="run">
      <td className="status-cell">
        <Status status={listedStatus(run)} />
      </td>
      <td className="request-cell">
        <Link className="request" href={`/runs/${encodeURIComponent(run.run_id)}`} data-row>
          {run.input || run.run_id}
        </Link>
        <span className="details">
          {details.filter(Boolean).join(" · ")}
          {run.started_at === null ? null : (
            <span className="card-figures">
              {" · "}
              <Duration from={run.started_at} to={end} />
              {run.totals ? ` · ${formatCost(run.totals.cost)}` : null}
            </span>
          )}
        </span>
      </td>
      <td className="line-cell" data-tone={line.tone ?? undefined}>
        <span className="line">{line.text}</span>
      </td>
      <td className="numeric started-cell">
        <Time at={run.started_at ?? run.created_at} />
      </td>
      <td className="numeric figure-cell">
        <Duration from={run.started_at} to={end} />
      </td>
      <td className="numeric figure-cell">
        <Tokens totals={run.totals} />
      </td>
      <td className="numeric figure-cell">{formatCost(run.totals?.cost, "unknown")}</td>
    </tr>
  );
});
