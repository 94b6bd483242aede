/** Reading a run: the run with its members, its steps, one step with its texts. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api } from "../api/client";
import { exactDataOf } from "../api/exactJson";
import { useFeed, usePollInterval } from "../api/feed";
import { reread, useRereadAfter } from "../api/reread";
import type { RunSummary } from "../api/types";
import type { RunDetail, RunStep } from "./model/types";
import { isFinal } from "./model/types";

const POLL_MS = 2_000;
const STEPS_PAGE = 5000;
/** How long after a change the run and its steps are read again; for many steps it takes longer. */
const REREAD_MS = 700;

export const runKey = (runId: string) => ["run", runId] as const;
const stepsKey = (runId: string) => ["run-steps", runId] as const;

async function readRun(runId: string, signal: AbortSignal): Promise<RunDetail> {
  const params = { path: { run_id: runId }, query: { view: "full" as const } };
  const run = await exactDataOf<RunDetail>(api.GET("/runs/{run_id}", { params, signal, parseAs: "text" }));
  return { ...run, totals: run.totals ?? null, activity: run.activity ?? null };
}

export function useRun(runId: string) {
  const client = useQueryClient();
  const interval = usePollInterval(POLL_MS);
  const rereadSoon = useRereadAfter(REREAD_MS, runKey(runId));
  useFeed({
    onRun: (summary) => {
      const known = client.getQueryData<RunDetail>(runKey(runId));
      if (known === undefined) return;
      if (summary.run_id !== runId) {
        // Another run of the session was accepted or has finished: the queue may have changed.
        if (summary.session_id === known.session_id && !isFinal(known.status)) rereadSoon();
        return;
      }
      client.setQueryData(runKey(runId), withSummary(known, summary));
      // The summary has neither the answer nor the attempts.
      if (known.status !== summary.status) void reread(client, runKey(runId));
    },
  });
  return useQuery({
    queryKey: runKey(runId),
    queryFn: ({ signal }) => readRun(runId, signal),
    refetchInterval: (query) => (query.state.data && isFinal(query.state.data.status) ? false : interval),
  });
}

/** What the feed says of a run, put into what is known of it. */
export function withSummary(run: RunDetail, summary: RunSummary): RunDetail {
  return {
    ...run,
    status: summary.status,
    totals: summary.totals ?? run.totals,
    activity: summary.activity,
    waiting: summary.waiting,
    attempts: summary.attempts,
    ...(summary.started_at === null ? {} : { started_at: summary.started_at }),
    ...(summary.ended_at === null ? {} : { ended_at: summary.ended_at }),
    ...(summary.queue_position === null ? {} : { queue_position: summary.queue_position }),
    ...(summary.cancel_requested_at === null || run.cancel
      ? {}
      : { cancel: { requested_at: summary.cancel_requested_at, by: null } }),
  };
}

async function readSteps(runId: string, signal: AbortSignal): Promise<RunStep[]> {
  const steps: RunStep[] = [];
  let after: string | null = null;
  for (;;) {
    const params = { path: { run_id: runId }, query: { limit: STEPS_PAGE, after_path: after } };
    const page: RunStep[] = await exactDataOf(api.GET("/runs/{run_id}/steps", { params, signal, parseAs: "text" }));
    for (const step of page) steps.push(step);
    const last = page.at(-1)?.path ?? null;
    // A page that is not full is the last one; a server without pages sends everything at once.
    if (page.length !== STEPS_PAGE || last === after) break;
    after = last;
  }
  return steps.sort((a, b) => a.started_at - b.started_at);
}

export function useSteps(runId: string, isLive: boolean) {
  const interval = usePollInterval(POLL_MS);
  return useQuery({
    queryKey: stepsKey(runId),
    queryFn: ({ signal }) => readSteps(runId, signal),
    refetchInterval: isLive ? interval : false,
    staleTime: isLive ? 0 : Number.POSITIVE_INFINITY, // there may be many, and they do not change any more
  });
}

/** Read run and steps again some time after their events changed, and once more when the run has ended. */
export function useReread(runId: string, version: number, stepCount: number, status: string | undefined): void {
  const client = useQueryClient();
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const count = useRef(stepCount);
  count.current = stepCount;
  useEffect(() => {
    if (version === 0 || timer.current !== null) return;
    timer.current = setTimeout(() => {
      timer.current = null;
      void reread(client, runKey(runId));
      void reread(client, stepsKey(runId));
    }, REREAD_MS + count.current);
  }, [client, runId, version]);
  useEffect(() => {
    if (status !== undefined) void reread(client, stepsKey(runId));
  }, [client, runId, status]);
  useEffect(
    () => () => {
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    },
    [],
  );
}

/** One step with its arguments and its result. */
export function useStep(runId: string, path: string | null, version: string) {
  return useQuery({
    queryKey: ["run-step", runId, path, version],
    queryFn: async ({ signal }) => {
      const params = { path: { run_id: runId }, query: { path } };
      const request = api.GET("/runs/{run_id}/steps", { params, signal, parseAs: "text" });
      const [step] = await exactDataOf<RunStep[]>(request);
      if (step === undefined) throw new Error("The step is not stored.");
      return step;
    },
    enabled: path !== null,
    staleTime: 30_000,
  });
}
