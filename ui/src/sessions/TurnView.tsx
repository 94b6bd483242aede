import { useQuery } from "@tanstack/react-query";
import { Check, Layers, X } from "lucide-react";
import { useRef } from "react";
import { Link } from "wouter";
import { parseExact } from "../api/exactJson";
import { readSummary } from "../api/runs";
import { bySoonestExpiry } from "../approvals/inbox";
import { decidedBy, QuestionCard, useRunApprovals, useSeenQuestions } from "../approvals/question";
import { CodeBlock } from "../shared/CodeBlock";
import { Cost, Duration, Time } from "../shared/Figures";
import { plural } from "../shared/format";
import { Markdown } from "../shared/Markdown";
import { Banner, ErrorState } from "../shared/PageStates";
import { Sources } from "../shared/Sources";
import { Status } from "../shared/Status";
import { type LiveTexts, useLiveText } from "./liveText";
import { isUnfinished, isWriting, type Turn } from "./turns";

/** A message, the run folded to one line, and the answer. */
export function TurnView({ turn, texts }: { turn: Turn; texts: LiveTexts }) {
  const text = useLiveText(texts, turn.runId);
  const live = isWriting(turn) ? text : "";
  const asks = useRef(false);
  asks.current ||= isUnfinished(turn) && turn.waiting > 0;
  return (
    <article className="turn" aria-label={`Run ${turn.runId}`}>
      <div className="turn-input">{turn.input}</div>
      <div className="turn-head">
        {turn.componentName ?? "Answer"}
        <span>
          <Time at={turn.acceptedAt} />
          {turn.startedAt === null ? null : (
            <>
              {" · "}
              <Duration from={turn.startedAt} to={turn.endedAt} />
            </>
          )}
          {turn.cost === null ? null : (
            <>
              {" · "}
              <Cost cost={turn.cost} />
            </>
          )}
        </span>
      </div>
      <RunLine turn={turn} />
      <Answer turn={turn} live={live} />
      {isUnfinished(turn) ? null : <Sources searches={turn.searches} />}
      {asks.current ? <Questions turn={turn} /> : null}
    </article>
  );
}

/** What the run waits for, answered here as on the run's page. */
function Questions({ turn }: { turn: Turn }) {
  const approvals = useRunApprovals(turn.runId);
  const questions = useSeenQuestions(approvals.data?.data ?? []).sort(bySoonestExpiry);
  if (approvals.isLoadingError) return <ErrorState error={approvals.error} onRetry={() => void approvals.refetch()} />;
  return questions.map((approval) => (
    <div key={approval.id} className="mt-2.5">
      <QuestionCard approval={approval} />
    </div>
  ));
}

function RunLine({ turn }: { turn: Turn }) {
  return (
    <Link href={`/runs/${encodeURIComponent(turn.runId)}`} className="turn-run">
      <Layers className="icon-small" aria-hidden="true" />
      <span>{workText(turn)}</span>
      {turn.decisions.length > 0 ? <Decisions turn={turn} /> : null}
      {turn.failedMembers > 0 ? <FailedMembers turn={turn} /> : null}
      {turn.status === "COMPLETED" ? null : <Status status={turn.status} />}
      <span className="turn-run-end">Open run</span>
    </Link>
  );
}

/** What persons decided about the calls of a run, and who did. */
function Decisions({ turn }: { turn: Turn }) {
  const approvals = useRunApprovals(turn.runId).data?.data ?? [];
  return turn.decisions.map(({ tool, approvalId, isApproved }, index) => {
    const approval = approvals.find(({ id }) => id === approvalId);
    const Icon = isApproved ? Check : X;
    return (
      // biome-ignore lint/suspicious/noArrayIndexKey: one tool may be decided about twice
      <span key={index} className="tag" data-tone={isApproved ? "ok" : "idle"}>
        <Icon className="icon-small" aria-hidden="true" />
        {`${tool} ${isApproved ? "approved" : "rejected"}${approval === undefined ? "" : decidedBy(approval)}`}
      </span>
    );
  });
}

/** The members that failed, by their names once these are read. */
function FailedMembers({ turn }: { turn: Turn }) {
  const run = useQuery({
    queryKey: ["runs", "one", turn.runId, "summary", turn.failedMembers],
    queryFn: ({ signal }) => readSummary(turn.runId, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const names = (run.data?.members ?? []).filter(({ status }) => status === "ERROR").map(({ name }) => name);
  return (
    <span className="tag" data-tone="fail">
      {`${[...new Set(names)].join(", ") || plural(turn.failedMembers, "member")} failed`}
    </span>
  );
}

/** "5 members, 17 model calls, 8 tool calls". */
export function workText(turn: Turn): string {
  const parts = [
    turn.members > 0 ? plural(turn.members, "member run") : null,
    turn.modelCalls ? plural(turn.modelCalls, "model call") : null,
    turn.toolCalls ? plural(turn.toolCalls, "tool call") : null,
  ].filter((part) => part !== null);
  if (parts.length > 0) return parts.join(", ");
  if (turn.queuePosition) return `Waits for ${plural(turn.queuePosition, "earlier run")}`;
  return isUnfinished(turn) ? "No calls yet" : "Steps and events";
}

function Answer({ turn, live }: { turn: Turn; live: string }) {
  if (turn.status === "ERROR") return <Banner tone="fail">{turn.outcome || "The run failed."}</Banner>;
  if (isUnfinished(turn) || turn.isAnswerStale) {
    return live === "" ? null : <p className="prose whitespace-pre-wrap">{live}</p>;
  }
  if (turn.isJson) return <CodeBlock value={parseExact(turn.answer)} label="Answer" />;
  if (turn.answer !== "") return <Markdown text={turn.answer} />;
  return <p className="text-ink-3">{turn.status === "CANCELLED" ? "Cancelled before an answer." : turn.outcome}</p>;
}
