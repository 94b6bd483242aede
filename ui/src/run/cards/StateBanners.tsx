import { CircleDashed, CircleX, RefreshCw, RotateCcw, WifiOff } from "lucide-react";
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
import { type Span, type Spans, takeovers } from "../spans";

interface StateBannersProps {
  run: RunDetail;
  stream: StreamState | null;
  feed: RunFeed;
  spans: Spans;
  onContinue: () => void;
  onRerun: () => void;
}

/** What the reader has to know before anything else: a failure, a cancel, a lost connection, a lost process. */
export function StateBanners({ run, stream, feed, spans, onContinue, onRerun }: StateBannersProps) {
  const last = spans.downtime.at(-1);
  const isGone = useGoneSince() !== null; // which the frame says on every page
  return (
    <div className="banners">
      {run.status === "ERROR" ? <Failure run={run} onContinue={onContinue} onRerun={onRerun} /> : null}
      {run.cancel ? <Cancel run={run} cancel={run.cancel} spans={spans} /> : null}
      {stream?.name === "reconnecting" && stream.tries > 1 && !isGone && !isFinal(run.status) ? (
        <div role="status">
          <Banner tone="fail" icon={WifiOff} end={feed.lastAt === null ? null : <LastEvent at={feed.lastAt} />}>
            Reconnecting
            <br />
            <span className="font-normal">{`Nothing is lost. The page goes on after event ${Math.max(0, feed.lastIndex)}.`}</span>
          </Banner>
        </div>
      ) : null}
      {last !== undefined && last.end === null && !isFinal(run.status) ? (
        <Banner tone="run" icon={RefreshCw} end={<Duration from={last.start} to={null} />}>
          The process of the run was lost. The run goes on as soon as another process takes it over.
        </Banner>
      ) : null}
      {last !== undefined && last.end !== null && run.status === "RUNNING" ? (
        <Takeover attempt={takeovers(run) + 1} since={last.end} />
      ) : null}
    </div>
  );
}

function Takeover({ attempt, since }: { attempt: number; since: number }) {
  return (
    <div role="status">
      <Banner tone="run" icon={RotateCcw}>
        {`Attempt ${attempt} since `}
        <Time at={since} />
        <span className="only-desk font-normal">
          : another process took the run over. Calls that were cut off are repeated if that is safe. Otherwise a person
          decides.
        </span>
      </Banner>
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

interface CancelProps {
  run: RunDetail;
  cancel: NonNullable<RunDetail["cancel"]>;
  spans: Spans;
}

function Cancel({ run, cancel, spans }: CancelProps) {
  const steps = cancel.steps ?? [];
  if (!isFinal(run.status)) {
    return (
      <div role="status">
        <Banner tone="idle" icon={CircleDashed} end={<Duration from={cancel.requested_at} to={null} />}>
          Cancelling. What is running is asked to stop.
          <dl className="kv mt-1 font-normal">
            {openCalls(spans).map(({ span, member }) => (
              <div key={span.id} className="contents">
                <dt>{span.label}</dt>
                <dd>{member}</dd>
              </div>
            ))}
          </dl>
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

const CALLS: ReadonlySet<Span["kind"]> = new Set(["model", "tool", "function", "hook"]);

/** The calls that have not ended, each with the name of the member that made it. */
function openCalls({ lanes }: Spans): { span: Span; member: string }[] {
  return lanes.flatMap(({ name, spans }) =>
    spans.filter(({ end, kind }) => end === null && CALLS.has(kind)).map((span) => ({ span, member: name })),
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
