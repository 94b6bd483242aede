import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useFeed, usePollInterval } from "../api/feed";
import { readResult, readSummary } from "../api/runs";
import type { RunDetail } from "../api/types";
import { Status } from "../shared/Status";
import { isFinal, shownStatus } from "../shared/status";
import type { Approval } from "./approval";

const POLL_MS = 2_000;

/** What came of a decision: the result of the call, and how its run goes on. */
export function Outcome({ approval }: { approval: Approval }) {
  const { run, result } = useOutcome(approval) ?? {};
  if (run === undefined) return null;
  return (
    <div className="question-stack" role="status">
      {result ? (
        <div className="said">
          <b>Result</b> {result}
        </div>
      ) : null}
      <p className="flex flex-wrap items-center gap-x-2">
        The run: <Status status={shownStatus(run)} />
      </p>
    </div>
  );
}

function useOutcome(approval: Approval): { run: RunDetail; result: string | null } | undefined {
  const client = useQueryClient();
  const { run_id: id, step_path: path } = approval;
  const queryKey = ["runs", "one", id, "outcome", path];
  useFeed({ onRun: (run) => run.run_id === id && void client.invalidateQueries({ queryKey }) });
  const interval = usePollInterval(POLL_MS);
  return useQuery({
    queryKey,
    queryFn: async ({ signal }) => {
      const [run, result] = await Promise.all([readSummary(id, signal), readResult(id, path, signal)]);
      // What a person entered, and what a rejected call has in place of a result, is shown with the decision.
      const isPersons = approval.status !== "approved" || Boolean(approval.resolution_data?.result);
      return { run, result: isPersons ? null : result };
    },
    refetchInterval: ({ state }) => (state.data && isFinal(state.data.run.status) ? false : interval),
  }).data;
}
