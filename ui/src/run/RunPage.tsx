import { useRedirect } from "../app/hashLocation";
import { usePageTitle } from "../app/pageTitle";
import { UnreadPage } from "../shared/PageStates";
import { messageOf, type RunDetail } from "./model/types";
import { useRun } from "./queries";
import { RunView } from "./RunView";

/** One run with all its members. A member's address leads to the run that it belongs to. */
export default function RunPage({ runId }: { runId: string }) {
  const run = useRun(runId);
  usePageTitle(run.data === undefined ? "Run" : titleOf(run.data));
  const rootId = run.data?.root_run_id;
  const isMember = rootId !== undefined && rootId !== runId;
  const member = encodeURIComponent(runId);
  useRedirect(
    `/runs/${member}`,
    isMember ? `/runs/${encodeURIComponent(rootId)}?view=transcript&member=${member}` : null,
  );

  const isLoading = run.isPending || isMember;
  if (isLoading || run.data === undefined) {
    return <UnreadPage title="Run" error={isLoading ? null : run.error} onRetry={() => void run.refetch()} rows={6} />;
  }
  return <RunView run={run.data} />;
}

function titleOf(run: RunDetail): string {
  return messageOf(run).trim().split("\n", 1)[0]?.slice(0, 80) || "Run";
}
