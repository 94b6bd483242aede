import { CircleAlert, CircleCheck, CircleX } from "lucide-react";
import { usePageTitle } from "../app/pageTitle";
import { formatTime } from "../shared/format";
import { UnreadPage } from "../shared/PageStates";
import { Checks } from "./Checks";
import { DatabasePanel, ModelsPanel, ProcessesPanel, UsagePanel, WorkPanel } from "./Panels";
import { isRefused, useReadiness, useServerStatus, useUsageToday } from "./queries";
import { checksOf, type ServerStatus } from "./status";
import { type Verdict, verdictOf } from "./verdict";

export default function HealthPage() {
  usePageTitle("Health");
  const status = useServerStatus();
  // A key that is refused is asked for above the page, which stays as it is.
  const wasRefused = isRefused(status.error);
  const hasNoScope = status.data === null || (status.data === undefined && wasRefused);
  const readiness = useReadiness(hasNoScope);
  const usage = useUsageToday();
  const asked = hasNoScope ? readiness : status;
  const current = status.data ?? undefined;
  const checks = hasNoScope ? readiness.data && checksOf(readiness.data) : current?.checks;
  if (checks === undefined) {
    return <UnreadPage title="Health" error={asked.error} onRetry={() => void asked.refetch()} />;
  }
  const verdict = asked.error && !wasRefused ? noAnswer(asked.error, asked.dataUpdatedAt) : verdictOf(checks, current);
  return (
    <div className="page">
      <Sentence verdict={verdict} />
      <div className="health-grid">
        <Checks checks={checks} askedAt={asked.dataUpdatedAt} />
        {current === undefined ? null : <StatusPanels status={current} />}
        {usage.data ? <UsagePanel usage={usage.data} /> : null}
      </div>
      {hasNoScope ? (
        <p className="page-foot">
          Your key shows the checks only. An administrator sees work, models and processes too.
        </p>
      ) : null}
    </div>
  );
}

function StatusPanels({ status }: { status: ServerStatus }) {
  return (
    <>
      <WorkPanel status={status} />
      <ModelsPanel status={status} />
      <DatabasePanel status={status} />
      <ProcessesPanel status={status} />
    </>
  );
}

/** The last answer stays on the page, and the sentence says that it is old. */
function noAnswer(error: Error, answeredAt: number): Verdict {
  const detail = `${error.message} The figures are from ${formatTime(answeredAt / 1000)}.`;
  return { tone: "fail", title: "The server does not answer", detail };
}

const ICONS = { ok: CircleCheck, run: CircleAlert, fail: CircleX };

function Sentence({ verdict }: { verdict: Verdict }) {
  const Icon = ICONS[verdict.tone];
  return (
    <div className="verdict" role="status">
      <span className="status" data-tone={verdict.tone}>
        <Icon className="icon" aria-hidden="true" />
      </span>
      <div>
        <h1>{verdict.title}</h1>
        <p className="text-ink-2">{verdict.detail}</p>
      </div>
    </div>
  );
}
