import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { dataOf, type RunFilters } from "musterd-client";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api } from "../api/client";
import { useConnection, useFeed, usePollInterval } from "../api/feed";
import { listRuns } from "../api/runs";
import type { Page, RunStatus, RunSummary } from "../api/types";
import { isFinal } from "../shared/status";
import { ACTIVE_STATUSES, countsQuery, FINAL_STATUSES, type Filters, matches, stateFilter } from "./filters";
import { changedRows, EMPTY_CHANGES, withChanges } from "./runList";

const ENDED_LIMIT = 50;
const ACTIVE_LIMIT = 100;
/** The longest page of the server. */
const PAGE_LIMIT = 1_000;
const POLL_MS = 3_000;
const COUNTS_MS = 2_000;

/** The statuses of `among` that the chip shows; null where it shows none of them. */
function statusQuery(filters: Filters, among: RunStatus[]): RunFilters | null {
  const { statuses } = stateFilter(filters.state);
  const shown = statuses.length ? among.filter((status) => statuses.includes(status)) : among;
  if (shown.length === 0) return null;
  return { status: shown, ...(filters.state === "needs_you" && { needs_you: true }) };
}

/** Older runs that are not listed yet. */
export interface OlderRuns {
  isLoading: boolean;
  load: () => void;
}

/** Pages of runs, newest first; none if `query` is null. */
function useRunPages(base: RunFilters, query: RunFilters | null, limit: number) {
  const { data, hasNextPage, isFetchingNextPage, fetchNextPage, isPending, isSuccess, error } = useInfiniteQuery({
    queryKey: ["runs", "list", base, query],
    queryFn: ({ pageParam, signal }) => listRuns({ ...base, ...query, limit, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.meta.next_cursor,
    enabled: query !== null,
    staleTime: Number.POSITIVE_INFINITY, // the feed brings what changes; a refetch would move rows
    refetchOnMount: "always",
  });
  const older: OlderRuns | null = hasNextPage
    ? { isLoading: isFetchingNextPage, load: () => void fetchNextPage() }
    : null;
  return { pages: data?.pages, older, isLoading: query !== null && isPending, isSuccess, error };
}

/** The runs and counts of the filters, kept current by the feed, or by asking again where there is none. */
export function useRunList(filters: Filters) {
  const client = useQueryClient();
  const filterKey = JSON.stringify(filters);
  const base = useMemo(() => countsQuery(JSON.parse(filterKey) as Filters, new Date()), [filterKey]);
  const activeQuery = statusQuery(filters, ACTIVE_STATUSES);
  const endedQuery = filters.state === "needs_you" ? null : statusQuery(filters, FINAL_STATUSES);
  const interval = usePollInterval(POLL_MS);
  const connection = useConnection().name;

  const active = useRunPages(base, activeQuery, ACTIVE_LIMIT);
  const ended = useRunPages(base, endedQuery, ENDED_LIMIT);
  const counts = useQuery({
    queryKey: ["runs", "counts", base],
    queryFn: ({ signal }) => dataOf(api.GET("/runs/counts", { params: { query: base }, signal })),
    refetchInterval: interval,
    placeholderData: (previous) => previous,
  });

  const [changed, setChanged] = useState(EMPTY_CHANGES);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other filters begin with no changes
  useEffect(() => setChanged(EMPTY_CHANGES), [filterKey]);

  const rows = useMemo(() => {
    const activeRows = rowsOf(active.pages);
    const ids = new Set(activeRows.map((run) => run.run_id));
    // A run that ended between the two answers is in both.
    const endedRows = rowsOf(ended.pages).filter((run) => !ids.has(run.run_id));
    return { active: changedRows(activeRows, changed.changes), ended: changedRows(endedRows, changed.changes) };
  }, [active.pages, ended.pages, changed.changes]);
  const shownIds = useRef(new Set<string>());
  shownIds.current = useMemo(() => new Set([...rows.active, ...rows.ended].map((run) => run.run_id)), [rows]);

  const listedSince = useRef({ active: 0, ended: 0 });
  listedSince.current = { active: oldestOf(rows.active, active.older), ended: oldestOf(rows.ended, ended.older) };

  const apply = useCallback(
    (runs: readonly RunSummary[]) => {
      const current = JSON.parse(filterKey) as Filters;
      const now = new Date();
      setChanged((state) =>
        withChanges(
          state,
          runs,
          (id) => shownIds.current.has(id),
          (run) =>
            matches(run, current, now) &&
            run.created_at >= listedSince.current[isFinal(run.status) ? "ended" : "active"],
        ),
      );
    },
    [filterKey],
  );

  const freshIds = useRef(changed.fresh);
  freshIds.current = changed.fresh;
  const refresh = useCallback(async () => {
    const revealed = freshIds.current;
    await Promise.all([
      client.refetchQueries({ queryKey: ["runs", "list"], type: "active" }),
      client.refetchQueries({ queryKey: ["runs", "counts"], type: "active" }),
    ]);
    // Runs that came while the answers were on their way stay behind the button.
    setChanged(({ changes, fresh }) => ({ changes, fresh: new Set([...fresh].filter((id) => !revealed.has(id))) }));
  }, [client]);

  useBatchedFeed(apply);

  const activeLimit = Math.min(ACTIVE_LIMIT * (active.pages?.length ?? 1), PAGE_LIMIT);
  // Without a feed the newest runs and those at work are asked for, and treated like its messages.
  const probe = useQuery({
    queryKey: ["runs", "probe", base, activeLimit],
    queryFn: async ({ signal }) => {
      const [newest, working] = await Promise.all([
        listRuns({ ...base, limit: ENDED_LIMIT }, signal),
        listRuns({ ...base, status: ACTIVE_STATUSES, limit: activeLimit }, signal),
      ]);
      return [...newest.data, ...working.data];
    },
    enabled: interval !== false && connection !== "connecting" && (active.isSuccess || ended.isSuccess),
    refetchInterval: interval,
  });
  useEffect(() => {
    if (probe.data) apply(probe.data);
  }, [probe.data, apply]);

  const isEmpty = rows.active.length + rows.ended.length === 0;
  const hasFresh = changed.fresh.size > 0;
  useEffect(() => {
    if (isEmpty && hasFresh) void refresh(); // nothing can jump on an empty page
  }, [isEmpty, hasFresh, refresh]);

  return {
    ...rows,
    counts: counts.data,
    freshCount: changed.fresh.size,
    isLoading: active.isLoading || ended.isLoading,
    error: active.error ?? ended.error,
    olderActive: active.older,
    olderEnded: ended.older,
    refresh,
  };
}

function rowsOf(pages: readonly Page<RunSummary>[] = []): RunSummary[] {
  return pages.flatMap((page) => page.data);
}

/** When the oldest listed run was accepted; 0: no older ones are left out. */
function oldestOf(rows: readonly RunSummary[], older: OlderRuns | null): number {
  return older === null ? 0 : (rows.at(-1)?.created_at ?? 0);
}

/** Messages of the feed are applied once per frame, and the counts asked for again at most every two seconds. */
function useBatchedFeed(apply: (runs: readonly RunSummary[]) => void): void {
  const client = useQueryClient();
  const latest = useRef(apply);
  latest.current = apply;
  const batch = useRef(new Map<string, RunSummary>());
  const frame = useRef(0);
  const countsTimer = useRef<ReturnType<typeof setTimeout>>(undefined);

  useFeed({
    onRun: (run) => {
      batch.current.set(run.run_id, run);
      frame.current ||= requestAnimationFrame(() => {
        frame.current = 0;
        const runs = [...batch.current.values()];
        batch.current.clear();
        latest.current(runs);
      });
      countsTimer.current ??= setTimeout(() => {
        countsTimer.current = undefined;
        void client.invalidateQueries({ queryKey: ["runs", "counts"] });
      }, COUNTS_MS);
    },
  });
  useEffect(
    () => () => {
      cancelAnimationFrame(frame.current);
      clearTimeout(countsTimer.current);
    },
    [],
  );
}
