import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { dataOf, type RunFilters } from "musterd-client";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api } from "../api/client";
import { useConnection, useFeed, usePollInterval } from "../api/feed";
import { listRuns } from "../api/runs";
import type { RunStatus, RunSummary } from "../api/types";
import { ACTIVE_STATUSES, countsQuery, FINAL_STATUSES, type Filters, matches, stateFilter } from "./filters";
import { changedRows, EMPTY_CHANGES, withChanges } from "./runList";

const PAGE_SIZE = 50;
const ACTIVE_LIMIT = 100;
const POLL_MS = 3_000;
const COUNTS_MS = 2_000;

/** The statuses of `among` that the chip shows; null where it shows none of them. */
function statusQuery(filters: Filters, among: RunStatus[]): RunFilters | null {
  const { statuses } = stateFilter(filters.state);
  const shown = statuses.length ? among.filter((status) => statuses.includes(status)) : among;
  if (shown.length === 0) return null;
  return { status: shown, ...(filters.state === "needs_you" && { needs_you: true }) };
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

  const active = useQuery({
    queryKey: ["runs", "list", "active", base, activeQuery],
    queryFn: ({ signal }) => listRuns({ ...base, ...activeQuery, limit: ACTIVE_LIMIT }, signal),
    enabled: activeQuery !== null,
    staleTime: Number.POSITIVE_INFINITY, // the feed brings what changes; a refetch would move rows
    refetchOnMount: "always",
  });
  const ended = useInfiniteQuery({
    queryKey: ["runs", "list", "ended", base, endedQuery],
    queryFn: ({ pageParam, signal }) =>
      listRuns({ ...base, ...endedQuery, limit: PAGE_SIZE, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.meta.next_cursor,
    enabled: endedQuery !== null,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnMount: "always",
  });
  const counts = useQuery({
    queryKey: ["runs", "counts", base],
    queryFn: ({ signal }) => dataOf(api.GET("/runs/counts", { params: { query: base }, signal })),
    refetchInterval: interval,
    placeholderData: (previous) => previous,
  });

  const [changed, setChanged] = useState(EMPTY_CHANGES);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other filters begin with no changes
  useEffect(() => setChanged(EMPTY_CHANGES), [filterKey]);

  const listedActive = activeQuery ? active.data?.data : undefined;
  const listedEnded = endedQuery ? ended.data?.pages : undefined;
  const rows = useMemo(() => {
    const activeRows = listedActive ?? [];
    const ids = new Set(activeRows.map((run) => run.run_id));
    // A run that ended between the two answers is in both.
    const endedRows = (listedEnded ?? []).flatMap((page) => page.data).filter((run) => !ids.has(run.run_id));
    return { active: changedRows(activeRows, changed.changes), ended: changedRows(endedRows, changed.changes) };
  }, [listedActive, listedEnded, changed.changes]);
  const shownIds = useRef(new Set<string>());
  shownIds.current = useMemo(() => new Set([...rows.active, ...rows.ended].map((run) => run.run_id)), [rows]);

  const apply = useCallback(
    (runs: readonly RunSummary[]) => {
      const current = JSON.parse(filterKey) as Filters;
      const now = new Date();
      setChanged((state) =>
        withChanges(
          state,
          runs,
          (id) => shownIds.current.has(id),
          (run) => matches(run, current, now),
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

  // Without a feed the newest runs and those at work are asked for, and treated like its messages.
  const probe = useQuery({
    queryKey: ["runs", "probe", base],
    queryFn: async ({ signal }) => {
      const [newest, working] = await Promise.all([
        listRuns({ ...base, limit: PAGE_SIZE }, signal),
        listRuns({ ...base, status: ACTIVE_STATUSES, limit: ACTIVE_LIMIT }, signal),
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
    isLoading: (activeQuery !== null && active.isPending) || (endedQuery !== null && ended.isPending),
    error: active.error ?? ended.error,
    hasMore: ended.hasNextPage,
    isLoadingMore: ended.isFetchingNextPage,
    loadMore: ended.fetchNextPage,
    refresh,
  };
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
