import { useMemo } from "react";
import { Duration } from "../shared/Figures";
import { formatCost, formatCount, formatDuration } from "../shared/format";
import { useNow } from "../shared/useNow";
import type { RunDetail, RunStep } from "./model/types";
import { isFinal } from "./model/types";
import { type Downtime, downtimeSeconds } from "./spans";

interface RunFiguresProps {
  run: RunDetail;
  steps: readonly RunStep[];
  downtime: readonly Downtime[];
}

/** What the run has taken so far, with all its members. */
export function RunFigures({ run, steps, downtime }: RunFiguresProps) {
  const { totals } = run;
  const failedModels = useMemo(
    () => steps.filter((one) => one.kind === "model" && one.state === "failed").length,
    [steps],
  );
  const failedTools = Math.max(0, (totals?.failed_calls ?? 0) - failedModels);
  const end = isFinal(run.status) ? (run.ended_at ?? null) : null;
  return (
    <section className="panel figures" aria-label="Figures">
      <div className="figure">
        <span>Elapsed</span>
        <b>{run.started_at === undefined ? "–" : <Duration from={run.started_at} to={end} />}</b>
        <Queued run={run} />
      </div>
      <div className="figure">
        <span>Tokens</span>
        <b>{totals === null ? "–" : formatCount(totals.input_tokens + totals.output_tokens)}</b>
        {totals === null ? null : (
          <small title={cacheText(totals.cache_read_tokens)}>
            {` · ${formatCount(totals.input_tokens)} in, ${formatCount(totals.output_tokens)} out`}
          </small>
        )}
      </div>
      <div className="figure">
        <span>Cost</span>
        <b>{formatCost(totals?.cost)}</b>
      </div>
      <div className="figure">
        <span>Model calls</span>
        <b>{formatCount(totals?.model_calls)}</b>
        {failedModels > 0 ? <small>{` · ${failedModels} failed`}</small> : null}
      </div>
      <div className="figure">
        <span>Tool calls</span>
        <b>{formatCount(totals?.tool_calls)}</b>
        {failedTools > 0 ? <small>{` · ${failedTools} failed`}</small> : null}
        {run.waiting > 0 ? <small>{` · ${run.waiting} waiting`}</small> : null}
      </div>
      {downtime.length > 0 ? (
        <div className="figure">
          <span>Downtime</span>
          <b>
            <DowntimeSum bands={downtime} />
          </b>
        </div>
      ) : null}
    </section>
  );
}

function DowntimeSum({ bands }: { bands: readonly Downtime[] }) {
  const now = useNow(bands.some((band) => band.end === null));
  return <>{formatDuration(downtimeSeconds(bands, now))}</>;
}

function Queued({ run }: { run: RunDetail }) {
  const { queued_at: queued, started_at: started } = run;
  if (queued === undefined) return null;
  if (started === undefined) {
    return isFinal(run.status) ? null : (
      <small>
        {" · queued for "}
        <Duration from={queued} to={null} />
      </small>
    );
  }
  return started - queued < 0.1 ? null : <small>{` · ${formatDuration(started - queued)} queued`}</small>;
}

function cacheText(tokens: number): string | undefined {
  return tokens > 0 ? `${formatCount(tokens)} read from the cache` : undefined;
}
