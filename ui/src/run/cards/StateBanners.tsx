import { CircleDashed, CircleX, RefreshCw, WifiOff } from "lucide-react";
import { Link } from "wouter";
import { useGoneSince } from "../../api/feed";
import type { StreamState } from "../../api/stream";
import { Button } from "../../shared/Button";
import { Duration, Time } from "../../shared/Figures";
import { formatDuration } from "../../shared/format";
import { Banner } from "../../shared/PageStates";
import type { RunFeed } from "../live/feed";
import type { CutOffStep, RunDetail } from "../model/types";
import { isFinal } from "../model/types";
import type { Downtime } from "../spans";

interface StateBannersProps {
  run: RunDetail;
  stream: StreamState | null;
  feed: RunFeed;
  downtime: readonly Downtime[];
  onContinue: () => void;
  onRerun: () => void;
}

/** What the reader has to know before anything else: a failure, a cancel, a lost connection, a lost process. */
export function StateBanners({ run, stream, feed, downtime, onContinue, onRerun }: StateBannersProps) {
  const open = downtime.at(-1);
  const isGone = useGoneSince() !== null; // which the frame says on every page
  return (
    <div className="banners">
      {run.status === "ERROR" ? <Failure run={run} onContinue={onContinue} onRerun={onRerun} /> : null}
      {run.cancel ? <Cancel run={run} cancel={run.cancel} /> : null}
      {stream?.name === "reconnecting" && stream.tries > 1 && !isGone && !isFinal(run.status) ? (
        <div role="status">
          <Banner tone="fail" icon={WifiOff} end={feed.lastAt === null ? null : <LastEvent at={feed.lastAt} />}>
            Reconnecting
            <br />
            <span className="font-normal">{`Nothing is lost. The page goes on after event ${Math.max(0, feed.lastIndex)}.`}</span>
          </Banner>
        </div>
      ) : null}
      {open !== undefined && open.end === null && !isFinal(run.status) ? (
        <Banner tone="run" icon={RefreshCw} end={<Duration from={open.start} to={null} />}>
          The process of the run was lost. The run goes on as soon as another process takes it over.
        </Banner>
      ) : null}
    </div>
  );
}

function LastEvent({ at }: { at: number }) {
  return (
    <span className="font-normal">
      last event <Time at={at} />
    </span>
  );
}

function Failure({ run, onContinue, onRerun }: { run: RunDetail; onContinue: () => void; onRerun: () => void }) {
  const message = run.error?.message ?? (typeof run.content === "string" ? run.content : "The run failed.");
  return (
    <div role="alert">
      <Banner tone="fail" icon={CircleX}>
        {message}
        <br />
        <span className="font-normal">{[run.model, run.error?.code].filter(Boolean).join(", ")}</span>
      </Banner>
      <div className="mt-2 flex flex-wrap gap-2">
        <Button kind="primary" onClick={onContinue}>
          Continue from the last step
        </Button>
        <Button onClick={onRerun}>Run again</Button>
      </div>
    </div>
  );
}

const OUTCOME: Record<CutOffStep["outcome"], string> = {
  stopped: "stopped",
  finished: "finished first",
  unknown: "outcome unknown",
  abandoned: "did not stop; its result is discarded",
};

function Cancel({ run, cancel }: { run: RunDetail; cancel: NonNullable<RunDetail["cancel"]> }) {
  const steps = cancel.steps ?? [];
  if (!isFinal(run.status)) {
    return (
      <div role="status">
        <Banner tone="idle" icon={CircleDashed} end={<Duration from={cancel.requested_at} to={null} />}>
          Cancelling. Steps that are running are asked to stop.
        </Banner>
      </div>
    );
  }
  if (run.status !== "CANCELLED") return null;
  const took = run.ended_at === undefined ? "" : ` after ${formatDuration(run.ended_at - cancel.requested_at)}`;
  return (
    <Banner tone="idle" icon={CircleDashed}>
      {cancel.by === null || cancel.by === "client" ? "Cancelled" : `Cancelled by ${cancel.by}`}
      <span className="font-normal">{took === "" ? "" : `, stopped${took}`}</span>
      {steps.length === 0 ? null : (
        <dl className="kv mt-1 font-normal">
          {steps.map((step) => (
            <CutOff key={step.path} runId={run.run_id} step={step} />
          ))}
        </dl>
      )}
    </Banner>
  );
}

function CutOff({ runId, step }: { runId: string; step: CutOffStep }) {
  return (
    <>
      <dt>
        <Link className="underline" href={`/runs/${encodeURIComponent(runId)}?step=${encodeURIComponent(step.path)}`}>
          {step.name ?? step.kind}
        </Link>
      </dt>
      <dd>{OUTCOME[step.outcome]}</dd>
    </>
  );
}
