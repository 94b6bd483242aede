import { Bot, Code, GitFork, Hand, Link as LinkIcon, ListTree, Split, Users, Webhook, Wrench, X } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { Button } from "../../shared/Button";
import { copyText } from "../../shared/CodeBlock";
import { Dialog } from "../../shared/Dialog";
import { Duration, Time } from "../../shared/Figures";
import { formatDuration } from "../../shared/format";
import { ErrorState, Skeleton } from "../../shared/PageStates";
import { Sources } from "../../shared/Sources";
import type { Tone } from "../../shared/status";
import { useIsPhone } from "../../shared/useIsPhone";
import { ForkDialog } from "../controls/ForkDialog";
import { type ForkPlan, forkPlan } from "../controls/forkPlan";
import type { EventFocus } from "../events/EventsView";
import type { RunFeed } from "../live/feed";
import { componentName, isFinal, type MemberRun, type RunDetail, type RunStep } from "../model/types";
import { useStep } from "../queries";
import type { Span } from "../spans";
import type { Placed } from "../stepKey";
import { outcomeText } from "../timeline/describe";
import { Attempts } from "./Attempts";
import { Calls } from "./Calls";
import { Fact } from "./Fact";
import { LiveTexts } from "./LiveTexts";
import { FailedTries, ModelTiming } from "./ModelTiming";
import { TextSection } from "./TextSection";
import { Usage } from "./Usage";
import { WaitedFor } from "./WaitedFor";

interface StepDetailsProps {
  run: RunDetail;
  steps: readonly RunStep[];
  feed: RunFeed;
  placed: Placed;
  onClose: () => void;
  onShowEvents: (focus: EventFocus) => void;
  onFork: (path: string) => void;
}

const ICON = {
  model: Bot,
  loading: Bot,
  tool: Wrench,
  wait: Hand,
  members: Users,
  hook: Webhook,
  function: Code,
  choice: Split,
  container: ListTree,
};

/** The selected step: beside the timeline, or as a sheet on a phone. */
export function StepDetails(props: StepDetailsProps) {
  const { placed, onClose } = props;
  const isPhone = useIsPhone();
  if (isPhone) {
    return (
      <Dialog title={placed.span.label} onClose={onClose} isInUrl>
        <Sections {...props} />
      </Dialog>
    );
  }
  const Icon = ICON[placed.span.kind];
  return (
    <aside className="panel step-details" aria-label="Selected step">
      <div className="panel-head">
        <Icon className="icon" aria-hidden="true" />
        <h2 className="truncate">{placed.span.label}</h2>
        <span className="tag">{placed.lane.name}</span>
        <span className="ml-auto flex flex-none">
          <CopyLink />
          <Button kind="quiet" isIcon aria-label="Close" title="Close (Esc)" onClick={onClose}>
            <X className="icon" aria-hidden="true" />
          </Button>
        </span>
      </div>
      <Sections {...props} />
    </aside>
  );
}

function CopyLink() {
  return (
    <Button
      kind="quiet"
      isIcon
      aria-label="Copy the link to this step"
      title="Copy the link to this step (c)"
      onClick={() => void copyText(window.location.href)}
    >
      <LinkIcon className="icon" aria-hidden="true" />
    </Button>
  );
}

function Sections({ run, steps, feed, placed, onShowEvents, onFork }: StepDetailsProps) {
  const { span, lane } = placed;
  const step = steps.find((one) => one.path === span.path);
  const version = step === undefined ? "" : `${step.state} ${step.attempt} ${step.ended_at}`;
  const detail = useStep(run.run_id, step === undefined ? null : step.path, version);
  const fork =
    step !== undefined && step.kind !== "load" && isFinal(run.status) ? forkPlan(step.path, steps, run.members) : null;
  const parent = step?.parent_path ? run.members.find((member) => member.path === step.parent_path) : undefined;
  return (
    <div className="step-sections" key={span.path ?? span.id}>
      <section>
        <dl className="kv">
          <Fact name="Status">
            <span className="status" data-tone={toneOf(span)}>
              {sentence(outcomeText(span))}
            </span>
          </Fact>
          {span.settled === null ? null : (
            <Fact name="Decided">
              <Time at={span.settled.at} />
            </Fact>
          )}
          <Fact name={span.kind === "wait" || span.kind === "members" ? "Waited" : "Took"}>
            <Duration from={span.start} to={span.end} />
          </Fact>
          <ModelTiming placed={placed} step={step} />
          <Fact name="Started">
            <Time at={span.start} />
            <span className="text-ink-3">{` +${formatDuration(span.start - (run.started_at ?? run.created_at))}`}</span>
          </Fact>
          <Fact name="Member">
            {lane.name}
            {parent?.task ? <span className="text-ink-3">{`: ${parent.task}`}</span> : null}
          </Fact>
          {parent === undefined ? null : <Fact name="Asked by">{askerOf(run, parent)}</Fact>}
          {span.path === null ? null : (
            <Fact name="Path">
              <code className="break-all">{span.path}</code>
            </Fact>
          )}
          {step === undefined ? null : <Usage span={span} step={step} />}
          {span.approvalId === null ? null : (
            <Fact name="Approval">
              <Link className="underline" href={`/approvals/${encodeURIComponent(span.approvalId)}`}>
                Open the question
              </Link>
            </Fact>
          )}
        </dl>
      </section>
      {step?.error ? (
        <section>
          <h3>Error</h3>
          <p className="text-fail">{step.error.message}</p>
          <p className="text-meta text-ink-3">{step.error.code}</p>
        </section>
      ) : null}
      {step !== undefined && step.attempts.length > 1 ? <Attempts step={step} /> : null}
      <FailedTries retries={span.retries} />
      {span.kind === "members" ? <WaitedFor run={run} span={span} /> : null}
      {step === undefined ? <LiveTexts feed={feed} span={span} /> : <StoredTexts step={step} detail={detail} />}
      {step === undefined ? null : <Calls run={run} steps={steps} step={step} />}
      <section className="only-desk flex flex-wrap gap-2">
        <Button onClick={() => onShowEvents({ runId: span.runId, at: span.start, callId: step?.tool_call_id ?? null })}>
          Show its events
        </Button>
        {fork === null || step === undefined ? null : (
          <ForkButton run={run} plan={fork} onFork={() => onFork(step.path)} />
        )}
      </section>
    </div>
  );
}

/** The name of the leader or workflow that gave a member its task. */
function askerOf(run: RunDetail, { parent_run_id: parentId }: MemberRun): string {
  return run.members.find((member) => member.run_id === parentId)?.name ?? componentName(run);
}

function ForkButton({ run, plan, onFork }: { run: RunDetail; plan: ForkPlan; onFork: () => void }) {
  const [isAsking, setAsking] = useState(false);
  return (
    <>
      <Button onClick={() => setAsking(true)}>
        <GitFork className="icon" aria-hidden="true" />
        Fork from here
      </Button>
      {isAsking ? <ForkDialog run={run} plan={plan} onFork={onFork} onClose={() => setAsking(false)} /> : null}
    </>
  );
}

function StoredTexts({ step, detail }: { step: RunStep; detail: ReturnType<typeof useStep> }) {
  if (detail.isPending) return <Skeleton rows={3} />;
  if (detail.isError) return <ErrorState error={detail.error} onRetry={() => void detail.refetch()} />;
  const texts = detail.data;
  return (
    <>
      {isEmpty(texts.arguments) ? null : <TextSection title="Arguments" value={texts.arguments} />}
      {texts.references === undefined ? null : (
        <section>
          <Sources searches={[texts.references]} />
        </section>
      )}
      {isEmpty(texts.result) ? null : (
        <TextSection
          title={
            step.kind === "model" ? "Answer" : step.settled === null ? "Result" : RESULT_TITLE[step.settled.outcome]
          }
          value={texts.result}
          isProse={step.kind === "model"}
          characters={texts.result_characters}
        />
      )}
    </>
  );
}

const RESULT_TITLE = { happened: "Result, entered by a person", refused: "What the model was told" };

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || value === "";
}

function toneOf(span: Span): Tone {
  if (span.kind === "wait") return span.end === null ? "wait" : "ok";
  switch (span.outcome) {
    case "failed":
      return span.settled === null ? "fail" : "idle";
    case "running":
      return "run";
    case "cut_off":
      return "idle";
    default:
      return "ok";
  }
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
