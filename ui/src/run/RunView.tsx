import { Pause, Play } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { serverNow } from "../api/serverClock";
import { useParams } from "../app/hashLocation";
import { type Approval, QuestionCards, useRunApprovals, useSeenQuestions } from "../approvals/question";
import { Button } from "../shared/Button";
import { copyText } from "../shared/CodeBlock";
import { ErrorState } from "../shared/PageStates";
import { StoppedClock } from "../shared/useNow";
import { AnswerCard } from "./cards/AnswerCard";
import { StateBanners } from "./cards/StateBanners";
import { WritingCards } from "./cards/WritingCard";
import { useRunActions } from "./controls/actions";
import { RerunDialog } from "./controls/RerunDialog";
import { StepDetails } from "./details/StepDetails";
import { type EventFocus, EventsView } from "./events/EventsView";
import { useRunStream } from "./live/useRunStream";
import { waitingCalls } from "./model/approvals";
import { isFinal, type RunDetail } from "./model/types";
import { useReread, useSteps } from "./queries";
import { RunFigures } from "./RunFigures";
import { RunHeader } from "./RunHeader";
import type { Span } from "./spans";
import { findById, findSpan, type Move, moved, stepKey } from "./stepKey";
import { isShown, type Only } from "./timeline/draw";
import { Timeline, type TimelineHandle } from "./timeline/Timeline";
import { TranscriptView } from "./transcript/TranscriptView";
import { useRunKeys, type ViewName } from "./useRunKeys";
import { useSpans } from "./useSpans";

const VIEWS: { name: ViewName; title: string }[] = [
  { name: "timeline", title: "Timeline" },
  { name: "transcript", title: "Transcript" },
  { name: "events", title: "Events" },
];

export function RunView({ run: current }: { run: RunDetail }) {
  const [params, setParams] = useParams();
  const view = VIEWS.find((one) => one.name === params.get("view"))?.name ?? "timeline";
  const only = onlyOf(params.get("only"));
  const selectedKey = params.get("step");
  const memberRunId = params.get("member");
  const [frozenAt, setFrozenAt] = useState<number | null>(null);
  const [isFollowing, setFollowing] = useState(true);
  const [areGapsFolded, setGapsFolded] = useState(true);
  const [cursorId, setCursorId] = useState<string | null>(null);
  const [asksRerun, setAsksRerun] = useState(false);
  const [eventFocus, setEventFocus] = useState<EventFocus | null>(null);
  const timeline = useRef<TimelineHandle>(null);

  const isPaused = frozenAt !== null;
  const isLive = !isFinal(current.status);
  // The containers of a workflow's steps are in its events only. The events of a finished run are read from the end.
  const readsEvents = view === "transcript" || current.workflow_id !== undefined;
  const { feed, state } = useRunStream(current.run_id, isLive || readsEvents, isPaused);
  const run = useFrozen(current, isPaused);
  const stepQuery = useSteps(run.run_id, isLive);
  const steps = useFrozen(stepQuery.data ?? NO_STEPS, isPaused);
  const approvalQuery = useRunApprovals(run.run_id);
  const approvals = approvalQuery.data?.data ?? NO_APPROVALS;
  const waiting = useMemo(() => waitingCalls(approvals), [approvals]);
  const spans = useSpans(run, steps, waiting, feed);
  const stepVersion = useSyncExternalStore(feed.subscribe, feed.getStepVersion);
  useReread(run.run_id, isLive || !feed.isEnded ? stepVersion : 0, steps.length, current.status);
  const actions = useRunActions(run);
  // What goes on while the server cannot be reached is not known: nothing on the page grows then.
  const stoppedAt = useStoppedAt(isLive && state?.name === "reconnecting");
  const isLoadingText = feed.lastIndex < 0 && state?.name !== "ended" && state?.name !== "failed";

  const shows = useCallback((span: Span) => isShown(span, only), [only]);
  const selected = useMemo(() => (selectedKey === null ? null : findSpan(spans, selectedKey)), [spans, selectedKey]);
  const cursor = useMemo(() => {
    const byId = cursorId === null ? null : findById(spans, cursorId);
    // A click marks one attempt of a step; its address names the step.
    return byId !== null && (selected === null || stepKey(byId.span) === selectedKey) ? byId : selected;
  }, [spans, cursorId, selected, selectedKey]);

  const select = useCallback(
    (span: Span) => {
      setCursorId(span.id);
      setParams({ step: stepKey(span) }, { replace: selectedKey !== null });
    },
    [setParams, selectedKey],
  );
  const close = useCallback(() => setParams({ step: null }, { back: true }), [setParams]);
  const show = useCallback((next: ViewName) => setParams({ view: next === "timeline" ? null : next }), [setParams]);
  const move = (direction: Move) => {
    const next = moved(spans, cursor, direction, shows);
    if (next === null) return;
    setCursorId(next.span.id);
    if (selectedKey !== null) setParams({ step: stepKey(next.span) }, { replace: true });
  };
  const togglePause = () => setFrozenAt((at) => (at === null && isLive ? serverNow() : null));

  useRunKeys({
    view,
    hasSelection: selectedKey !== null,
    move,
    open: () => cursor && select(cursor.span),
    close,
    show,
    toggleFollow: () => setFollowing((isOn) => !isOn),
    togglePause,
    toggleOnly: (name) => setParams({ only: only === name ? null : name }, { replace: true }),
    toggleFolds: () => setGapsFolded((areFolded) => !areFolded),
    copyLink: () => void copyText(window.location.href),
    zoom: (factor) => (factor === null ? timeline.current?.showAll() : timeline.current?.zoomBy(factor)),
  });

  useEffect(() => {
    if (!isLive) setFrozenAt(null);
  }, [isLive]);

  const showEvents = (focus: EventFocus) => {
    setEventFocus(focus);
    setParams({ view: "events", step: null });
  };
  const questions = useSeenQuestions(approvals);

  return (
    <StoppedClock value={stoppedAt}>
      <div className="page run-page">
        <RunHeader run={run} actions={actions} onRerun={() => setAsksRerun(true)} hasCards={questions.length > 0} />
        <StateBanners
          run={run}
          stream={state}
          feed={feed}
          spans={spans}
          onContinue={() => actions.resume.mutate()}
          onRerun={() => setAsksRerun(true)}
        />
        <RunFigures run={run} steps={steps} spans={spans} isLoading={stepQuery.isPending} />
        <div className={selected === null ? "run-grid" : "run-grid has-details"}>
          <div className="run-body">
            <section className="panel run-panel" aria-label="What happened">
              <div className="panel-head">
                <div className="segmented" role="tablist" aria-label="Views">
                  {VIEWS.map(({ name, title }) => (
                    <button
                      key={name}
                      type="button"
                      role="tab"
                      id={`tab-${name}`}
                      aria-selected={view === name}
                      aria-controls="run-view"
                      className={name === "events" ? "only-desk" : undefined}
                      onClick={() => show(name)}
                    >
                      {title}
                    </button>
                  ))}
                </div>
                <div className="panel-head-end">
                  {view === "transcript" ? null : (
                    <OnlySelect only={only} onChange={(next) => setParams({ only: next }, { replace: true })} />
                  )}
                  {isLive ? (
                    <FollowButton
                      isFollowing={isFollowing}
                      isPaused={isPaused}
                      onToggle={() => (isPaused ? setFrozenAt(null) : setFollowing((isOn) => !isOn))}
                    />
                  ) : null}
                </div>
              </div>
              {stepQuery.isLoadingError ? (
                <ErrorState error={stepQuery.error} onRetry={() => void stepQuery.refetch()} />
              ) : null}
              <div id="run-view" role="tabpanel" aria-labelledby={`tab-${view}`}>
                {view === "timeline" ? (
                  <Timeline
                    spans={spans}
                    rootId={run.run_id}
                    current={cursor}
                    only={only}
                    areGapsFolded={areGapsFolded && !stepQuery.isPending}
                    isFollowing={isFollowing}
                    frozenAt={frozenAt ?? stoppedAt}
                    onSelect={select}
                    onFollow={setFollowing}
                    handle={timeline}
                  />
                ) : view === "transcript" ? (
                  <TranscriptView
                    steps={steps}
                    run={run}
                    spans={spans}
                    feed={feed}
                    memberRunId={memberRunId}
                    isFollowing={isFollowing && !isPaused}
                    isLoading={isLoadingText}
                    onMember={(id) => setParams({ member: id }, { replace: true })}
                    onFollow={setFollowing}
                  />
                ) : (
                  <EventsView runId={run.run_id} feed={feed} start={spans.start} only={only} focus={eventFocus} />
                )}
              </div>
            </section>
            <div className="run-cards">
              {view === "timeline" ? <AnswerCard run={run} /> : null}
              {approvalQuery.isLoadingError && run.waiting > 0 ? (
                <ErrorState error={approvalQuery.error} onRetry={() => void approvalQuery.refetch()} />
              ) : null}
              {questions.length > 0 ? <QuestionCards approvals={questions} /> : null}
              {isLive ? <WritingCards feed={feed} /> : null}
            </div>
          </div>
          {selected === null ? null : (
            <StepDetails
              run={run}
              steps={steps}
              feed={feed}
              placed={cursor ?? selected}
              onClose={close}
              onShowEvents={showEvents}
              onFork={actions.forkFrom.mutate}
            />
          )}
        </div>
        {asksRerun ? <RerunDialog run={run} actions={actions} onClose={() => setAsksRerun(false)} /> : null}
      </div>
    </StoppedClock>
  );
}

const NO_STEPS: never[] = [];
const NO_APPROVALS: Approval[] = [];

function onlyOf(text: string | null): Only {
  return text === "failed" || text === "waiting" ? text : null;
}

/** When something stopped, on the server's clock; null while it has not. */
function useStoppedAt(isStopped: boolean): number | null {
  return useMemo(() => (isStopped ? serverNow() : null), [isStopped]);
}

/** The value as it was when the page was paused. */
function useFrozen<T>(value: T, isFrozen: boolean): T {
  const kept = useRef(value);
  if (!isFrozen) kept.current = value;
  return kept.current;
}

function OnlySelect({ only, onChange }: { only: Only; onChange: (only: Only) => void }) {
  return (
    <label>
      <span className="sr-only">Filter</span>
      <select className="select" value={only ?? ""} onChange={(event) => onChange(onlyOf(event.target.value))}>
        <option value="">Everything</option>
        <option value="failed">Only failed</option>
        <option value="waiting">Only questions</option>
      </select>
    </label>
  );
}

interface FollowButtonProps {
  isFollowing: boolean;
  isPaused: boolean;
  onToggle: () => void;
}

function FollowButton({ isFollowing, isPaused, onToggle }: FollowButtonProps) {
  const isOn = isFollowing && !isPaused;
  const Icon = isPaused ? Pause : Play;
  return (
    <Button
      kind="quiet"
      aria-pressed={isOn}
      title={isPaused ? "Updates are paused (p)" : "Follow what happens (f)"}
      onClick={onToggle}
    >
      <Icon className="icon-small" aria-hidden="true" />
      <span className="follow-text">{isPaused ? "Paused" : isOn ? "Following" : "Follow"}</span>
    </Button>
  );
}
