import { useMemo } from "react";
import { Duration } from "../shared/Figures";
import { formatCost, formatCount, formatDuration, plural } from "../shared/format";
import { useNow } from "../shared/useNow";
import type { RunDetail, RunStep } from "./model/types";
import { isFinal } from "./model/types";
import { type Downtime, downtimeSeconds, isTakenOver, type Span, type SpanOutcome, type Spans } from "./spans";

interface RunFiguresProps {
  run: RunDetail;
  steps: readonly RunStep[];
  spans: Spans;
}

/** What the run has taken so far, with all its members. */
export function RunFigures({ run, steps, spans }: RunFiguresProps) {
  const { totals } = run;
  const { downtime } = spans;
  const openModels = useMemo(() => modelCalls(spans, "running"), [spans]);
  const cutOffModels = useMemo(() => modelCalls(spans, "cut_off"), [spans]);
  const delegations = totals?.delegations ?? 0;
  const takenOver = useMemo(() => steps.filter((one) => one.kind !== "prepare" && isTakenOver(one)).length, [steps]);
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
        <b>{formatCount(totals?.model_calls ?? 0)}</b>
        {openModels > 0 ? <small>{` · ${openModels} running`}</small> : null}
        {cutOffModels > 0 ? <small>{` · ${cutOffModels} cut off`}</small> : null}
        {failedModels > 0 ? <small>{` · ${failedModels} failed`}</small> : null}
      </div>
      <div className="figure">
        <span>Tool calls</span>
        <b>{formatCount((totals?.tool_calls ?? 0) - delegations)}</b>
        {delegations > 0 ? <small>{` · ${plural(delegations, "delegation")}`}</small> : null}
        {failedTools > 0 ? <small>{` · ${failedTools} failed`}</small> : null}
        {run.waiting > 0 ? <small>{` · ${run.waiting} waiting`}</small> : null}
      </div>
      {takenOver > 0 ? (
        <div className="figure" title="Made by the run that this one was forked from, and not made again">
          <span>Taken over</span>
          <b>{formatCount(takenOver)}</b>
          <small>{takenOver === 1 ? " step" : " steps"}</small>
        </div>
      ) : null}
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

function modelCalls(spans: Spans, outcome: SpanOutcome): number {
  const count = (list: Spans["lanes"][number]["spans"]) =>
    list.filter((span) => isModelCall(span) && span.outcome === outcome).length;
  return spans.lanes.reduce((sum, lane) => sum + count(lane.spans), 0);
}

/** Whether it is a model call. While a call waits for its model to be loaded, it has no other bar. */
function isModelCall(span: Span): boolean {
  return span.kind === "model" || (span.kind === "loading" && span.outcome !== "ok");
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
