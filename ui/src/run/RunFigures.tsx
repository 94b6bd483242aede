import { useMemo } from "react";
import { Duration } from "../shared/Figures";
import { formatCost, formatCount, formatDuration, plural } from "../shared/format";
import { useNow } from "../shared/useNow";
import { figuresOf, withTotals } from "./figures";
import type { RunDetail, RunStep } from "./model/types";
import { isFinal } from "./model/types";
import { type Downtime, downtimeSeconds, isTakenOver, type Spans } from "./spans";
import { downtimeText } from "./timeline/describe";

interface RunFiguresProps {
  run: RunDetail;
  steps: readonly RunStep[];
  spans: Spans;
  /** The steps are being read for the first time. */
  isLoading: boolean;
}

/** What the run has taken so far, with all its members. */
export function RunFigures({ run, steps, spans, isLoading }: RunFiguresProps) {
  const { downtime } = spans;
  const isOver = isFinal(run.status);
  const counted = useMemo(() => figuresOf(spans, steps), [spans, steps]);
  const figures = run.totals !== null && (isOver || isLoading) ? withTotals(counted, run.totals) : counted;
  const takenOver = useMemo(() => steps.filter((one) => one.kind !== "prepare" && isTakenOver(one)).length, [steps]);
  const { inputTokens, outputTokens } = figures;
  const end = isOver ? (run.ended_at ?? null) : null;
  return (
    <section className="panel figures" aria-label="Figures">
      <div className="figure">
        <span>Elapsed</span>
        <b>{run.started_at === undefined ? "–" : <Duration from={run.started_at} to={end} />}</b>
        <Queued run={run} />
      </div>
      <div className="figure">
        <span>Tokens</span>
        <b>{inputTokens + outputTokens === 0 ? "–" : formatCount(inputTokens + outputTokens)}</b>
        {inputTokens + outputTokens === 0 ? null : (
          <small title={cacheText(run.totals?.cache_read_tokens ?? 0)}>
            {` · ${formatCount(inputTokens)} in, ${formatCount(outputTokens)} out`}
          </small>
        )}
      </div>
      <div className="figure">
        <span>Cost</span>
        <b>{formatCost(figures.cost)}</b>
      </div>
      <div className="figure">
        <span>Model calls</span>
        <b>{formatCount(figures.modelCalls)}</b>
        <More count={figures.openModelCalls} words="running" />
        <More count={figures.cutOffModelCalls} words="cut off" />
        <More count={figures.failedModelCalls} words="failed" />
      </div>
      <div className="figure">
        <span>Tool calls</span>
        <b>{formatCount(figures.toolCalls)}</b>
        {figures.delegations > 0 ? <small>{` · ${plural(figures.delegations, "delegation")}`}</small> : null}
        <More count={figures.failedToolCalls} words="failed" />
        <More count={run.waiting} words="waiting" />
      </div>
      {takenOver > 0 ? (
        <div className="figure" title="Made by the run that this one was forked from, and not repeated">
          <span>Reused</span>
          <b>{formatCount(takenOver)}</b>
          <small>{takenOver === 1 ? " step" : " steps"}</small>
        </div>
      ) : null}
      {/* On a phone, an open question takes the place of the downtime. */}
      {downtime.length > 0 ? (
        <div
          className={`figure is-downtime${run.waiting > 0 ? " gives-way" : ""}`}
          title={downtime.map(downtimeText).join("\n")}
        >
          <span>Downtime</span>
          <b>
            <DowntimeSum bands={downtime} />
          </b>
        </div>
      ) : null}
    </section>
  );
}

function More({ count, words }: { count: number; words: string }) {
  return count > 0 ? <small>{` · ${count} ${words}`}</small> : null;
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
