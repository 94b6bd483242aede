import { ChevronRight, Hand, RotateCcw } from "lucide-react";
import { Link } from "wouter";
import { useGoneSince } from "../api/feed";
import { CopyButton } from "../shared/CodeBlock";
import { formatClock, plural } from "../shared/format";
import { Status } from "../shared/Status";
import { STATUS_LABEL, shownStatus } from "../shared/status";
import { componentPath } from "../teams/component";
import type { useRunActions } from "./controls/actions";
import { RunControls } from "./controls/RunControls";
import { componentName, componentOf, isFinal, messageOf, type RunDetail } from "./model/types";
import { takeovers } from "./spans";

interface RunHeaderProps {
  run: RunDetail;
  actions: ReturnType<typeof useRunActions>;
  onRerun: () => void;
  /** The questions of the run are on the page. */
  hasCards: boolean;
}

/** Which run this is, its status, and what can be done with it. */
export function RunHeader({ run, actions, onRerun, hasCards }: RunHeaderProps) {
  const { kind, id } = componentOf(run);
  const attempt = takeovers(run) + 1;
  const isSent = actions.message.isSuccess && !isFinal(run.status);
  const origin = run.forked_from ?? run.copied_from;
  const failedCount = run.members.filter((member) => member.status === "ERROR").length;
  const goneSince = useGoneSince();
  const status = shownStatus({ status: run.status, cancel_requested_at: run.cancel?.requested_at ?? null });
  return (
    <>
      <nav className="crumb" aria-label="Breadcrumb">
        <Link href="/runs">Runs</Link>
        <ChevronRight className="icon-small" aria-hidden="true" />
        <Link href={componentPath(kind, id)}>{componentName(run)}</Link>
        <ChevronRight className="icon-small" aria-hidden="true" />
        <code className="truncate">{run.run_id}</code>
        <span className="only-desk">
          <CopyButton text={run.run_id} label="Copy the run's id" />
        </span>
      </nav>
      <div className="run-head">
        <div className="run-title">
          <h1 title={messageOf(run)}>{messageOf(run).trim() || "(no message)"}</h1>
          <div className="run-meta">
            {goneSince === null || isFinal(run.status) ? (
              <Status status={status} />
            ) : (
              <Status
                status={status}
                tone="idle"
                label={`${STATUS_LABEL[status]} at ${formatClock(goneSince / 1000)}`}
              />
            )}
            {failedCount > 0 && run.status !== "ERROR" ? (
              <span className="text-fail">{`${plural(failedCount, "member")} failed`}</span>
            ) : null}
            {run.waiting > (run.status === "PAUSED" ? 1 : 0) ? (
              <QuestionTag count={run.waiting} hasCards={hasCards} />
            ) : null}
            {attempt > 1 ? (
              <span title="Another process took the run over after its process was lost.">
                <RotateCcw className="icon-small" aria-hidden="true" />
                {`attempt ${attempt}`}
              </span>
            ) : null}
            {run.status === "PENDING" && run.queue_position !== undefined ? (
              <span>
                {run.queue_position === 0
                  ? "next in its session"
                  : `${plural(run.queue_position, "run")} ahead in its session`}
              </span>
            ) : null}
            {run.runs_behind > 0 ? (
              <Link className="underline" href={`/runs?session=${encodeURIComponent(run.session_id)}`}>
                {run.runs_behind === 1 ? "1 run waits for this one" : `${run.runs_behind} runs wait for this one`}
              </Link>
            ) : null}
            <span className="only-desk">
              session
              <Link className="underline" href={`/sessions/${encodeURIComponent(run.session_id)}`}>
                {run.session_id}
              </Link>
            </span>
            {run.user_id === undefined ? null : <span className="only-desk">{`user ${run.user_id}`}</span>}
            {origin === undefined ? null : (
              <span className="only-desk">
                {run.forked_from === undefined ? "copy of" : "forked from"}
                <Link className="underline" href={`/runs/${encodeURIComponent(origin)}`}>
                  {origin.slice(0, 12)}
                </Link>
              </span>
            )}
            {run.forks.length === 0 ? null : (
              <span className="only-desk">
                forked to
                {run.forks.map((fork) => (
                  <Link key={fork} className="underline" href={`/runs/${encodeURIComponent(fork)}`}>
                    {fork.slice(0, 12)}
                  </Link>
                ))}
              </span>
            )}
          </div>
        </div>
        <RunControls run={run} actions={actions} onRerun={onRerun} />
      </div>
      <ActionProblem actions={actions} />
      <p role="status" className={isSent ? "mb-3 text-ink-2" : "sr-only"}>
        {isSent ? "Message sent. The next model call reads it." : ""}
      </p>
    </>
  );
}

function QuestionTag({ count, hasCards }: { count: number; hasCards: boolean }) {
  const tag = (
    <span className="tag" data-tone="wait">
      <Hand className="icon-small" aria-hidden="true" />
      {count === 1 ? "1 question for you" : `${count} questions for you`}
    </span>
  );
  return hasCards ? (
    <button type="button" className="show-question" onClick={showQuestion}>
      {tag}
    </button>
  ) : (
    tag
  );
}

/** Bring the first open question into view; from there the keys that decide work. */
function showQuestion() {
  const card = document.querySelector<HTMLElement>(".question-card");
  card?.scrollIntoView({ block: "nearest" });
  card?.focus({ preventScroll: true });
}

function ActionProblem({ actions }: { actions: ReturnType<typeof useRunActions> }) {
  const { cancel, message, rerun, resume, forkFrom, fork, export: save } = actions;
  const failed = [cancel, message, rerun, resume, forkFrom, fork, save].find((one) => one.isError);
  return failed?.error ? (
    <p role="alert" className="mb-3 text-fail">
      {failed.error.message}
    </p>
  ) : null;
}
