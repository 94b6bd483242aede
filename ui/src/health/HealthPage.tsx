import "./health.css";
import { CircleAlert, CircleCheck, CircleX } from "lucide-react";
import { usePageTitle } from "../app/pageTitle";
import { ErrorState, Skeleton } from "../shared/PageStates";
import { Checks } from "./Checks";
import { DatabasePanel, ModelsPanel, ProcessesPanel, UsagePanel, WorkPanel } from "./Panels";
import { isForbidden, useReadiness, useServerStatus, useUsageToday } from "./queries";
import { checksOf } from "./status";
import { type Verdict, verdictOf } from "./verdict";

export default function HealthPage() {
  usePageTitle("Health");
  const status = useServerStatus();
  const hasNoStatus = status.error !== null;
  const readiness = useReadiness(hasNoStatus);
  const usage = useUsageToday();
  const checks = status.data?.checks ?? (readiness.data ? checksOf(readiness.data) : undefined);
  if (checks === undefined) {
    const error = isForbidden(status.error) ? readiness.error : (status.error ?? readiness.error);
    return (
      <div className="page">
        <h1 className="sr-only">Health</h1>
        <section className="panel">
          {error ? <ErrorState error={error} onRetry={() => void status.refetch()} /> : <Skeleton />}
        </section>
      </div>
    );
  }
  const current = hasNoStatus ? undefined : status.data;
  const askedAt = status.data && !hasNoStatus ? status.dataUpdatedAt : readiness.dataUpdatedAt;
  return (
    <div className="page">
      <Sentence verdict={verdictOf(checks, current)} />
      <div className="health-grid">
        <Checks checks={checks} askedAt={askedAt} />
        {current === undefined ? null : <WorkPanel status={current} />}
        {current === undefined ? null : <ModelsPanel status={current} />}
        {current === undefined ? null : <DatabasePanel status={current} />}
        {current === undefined ? null : <ProcessesPanel status={current} />}
        {usage.data ? <UsagePanel usage={usage.data} /> : null}
      </div>
      {isForbidden(status.error) ? (
        <p className="page-foot">
          Your key shows the checks only. An administrator sees work, models and processes too.
        </p>
      ) : null}
    </div>
  );
}

const ICONS = { ok: CircleCheck, wait: CircleAlert, fail: CircleX };

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
