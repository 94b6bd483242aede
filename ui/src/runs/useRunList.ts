import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { dataOf, type RunFilters } from "musterd-client";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api } from "../api/client";
import { useConnection, useFeed, usePollInterval } from "../api/feed";
import { useRereadAfter } from "../api/reread";
import { listRuns } from "../api/runs";
import type { Page, RunStatus, RunSummary } from "../api/types";
import { isFinal } from "../shared/status";
import { ACTIVE_STATUSES, countsQuery, FINAL_STATUSES, type Filters, matches, stateFilter } from "./filters";
import { changedRows, changesSince, EMPTY_CHANGES, withChanges } from "./runList";

/** In the order of the page: what needs a person, what is at work, what is queued, what has finished. */
const LIMITS = { waiting: 100, working: 100, queued: 100, ended: 50 };
type ListName = keyof typeof LIMITS;
const LIST_NAMES = Object.keys(LIMITS);
/** The longest page of the server. */
const PAGE_LIMIT = 1_000;
const POLL_MS = 3_000;
const COUNTS_MS = 2_000;

/** The statuses of `among` that the chip shows; null where it shows none of them. */
function statusQuery(filters: Filters, among: RunStatus[]): RunFilters | null {
  const { statuses } = stateFilter(filters.state);
  const shown = statuses.length ? among.filter((status) => statuses.includes(status)) : among;
  return shown.length === 0 ? null : { status: shown };
}

/** What the server is asked for, for each list of the page; null: the chip shows none of its runs. */
function queriesOf(filters: Filters): Record<ListName, RunFilters | null> {
  const active = statusQuery(filters, ACTIVE_STATUSES);
  const waiting = active && { ...active, needs_you: true };
  if (filters.state === "needs_you") return { waiting, working: null, queued: null, ended: null };
  return {
    waiting,
    working: statusQuery(filters, ["RUNNING"]),
    queued: statusQuery(filters, ["PENDING", "PAUSED"]), // a paused run without a question is about to go on
    ended: statusQuery(filters, FINAL_STATUSES),
  };
}

/** The first list that a run belongs to. */
function listOf(run: RunSummary): ListName {
  if (isFinal(run.status)) return "ended";
  if (run.waiting > 0) return "waiting";
  return run.status === "RUNNING" ? "working" : "queued";
}

/** Older runs that are not listed yet. */
export interface OlderRuns {
  isLoading: boolean;
  load: () => void;
}

/** What the lists of all chips share. A time until now, such as "today", has its start only when they are read. */
function scopeOf(filters: Filters): Filters {
  return { ...filters, state: "all" };
}

/** Pages of runs, newest first; none if `query` is null. */
function useRunPages(filters: Filters, query: RunFilters | null, limit: number) {
  const { data, hasNextPage, isFetchingNextPage, fetchNextPage, isPending, isSuccess, error } = useInfiniteQuery({
    queryKey: ["runs", "list", scopeOf(filters), query],
    queryFn: ({ pageParam, signal }) =>
      listRuns({ ...countsQuery(filters, new Date()), ...query, limit, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.meta.next_cursor,
    enabled: query !== null,
    staleTime: 0, // what the feed brought is not in the cache
    refetchOnWindowFocus: false, // the feed brings what changes; a refetch would move rows
  });
  const older: OlderRuns | null = hasNextPage
    ? { isLoading: isFetchingNextPage, load: () => void fetchNextPage() }
    : null;
  return { query, limit, pages: data?.pages, older, isLoading: query !== null && isPending, isSuccess, error };
}

/** The runs and counts of the filters, kept current by the feed, or by asking again where there is none. */
export function useRunList(filters: Filters) {
  const client = useQueryClient();
  const filterKey = JSON.stringify(filters);
  const queries = queriesOf(filters);
  const interval = usePollInterval(POLL_MS);
  const connection = useConnection().name;

  const waiting = useRunPages(filters, queries.waiting, LIMITS.waiting);
  const working = useRunPages(filters, queries.working, LIMITS.working);
  const queued = useRunPages(filters, queries.queued, LIMITS.queued);
  const ended = useRunPages(filters, queries.ended, LIMITS.ended);
  const active = [waiting, working, queued];
  const all = [...active, ended];
  const counts = useQuery({
    queryKey: ["runs", "counts", scopeOf(filters)],
    queryFn: ({ signal }) => {
      const query = countsQuery(filters, new Date());
      return dataOf(api.GET("/runs/counts", { params: { query }, signal }));
    },
    refetchInterval: interval,
    placeholderData: (previous) => previous,
  });

  const [changed, setChanged] = useState(EMPTY_CHANGES);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other filters begin with no changes
  useEffect(() => setChanged(EMPTY_CHANGES), [filterKey]);

  const rows = useMemo(() => {
    // A run that needs a person is in two lists, and so may be one that changed between two answers.
    const ids = new Set<string>();
    const rowsOf = (pages: readonly Page<RunSummary>[] = []) =>
      pages.flatMap((page) => page.data).filter(({ run_id: id }) => !ids.has(id) && ids.add(id));
    // The order is that of the answers, not of the changes: rows never move by themselves.
    const activeRows = [waiting.pages, working.pages, queued.pages]
      .flatMap(rowsOf)
      .sort((a, b) => LIST_NAMES.indexOf(listOf(a)) - LIST_NAMES.indexOf(listOf(b)));
    return {
      active: changedRows(activeRows, changed.changes),
      ended: changedRows(rowsOf(ended.pages), changed.changes),
    };
  }, [waiting.pages, working.pages, queued.pages, ended.pages, changed.changes]);
  const shownIds = useRef(new Set<string>());
  shownIds.current = useMemo(() => new Set([...rows.active, ...rows.ended].map((run) => run.run_id)), [rows]);

  const listedSince = useRef<Record<ListName, number>>(null as never);
  listedSince.current = {
    waiting: oldestOf(waiting),
    working: oldestOf(working),
    queued: oldestOf(queued),
    ended: oldestOf(ended),
  };

  const apply = useCallback(
    (runs: readonly RunSummary[]) => {
      const current = JSON.parse(filterKey) as Filters;
      const now = new Date();
      setChanged((state) =>
        withChanges(
          state,
          runs,
          (id) => shownIds.current.has(id),
          (run) => matches(run, current, now) && run.created_at >= listedSince.current[listOf(run)],
        ),
      );
    },
    [filterKey],
  );

  const latest = useRef(changed);
  latest.current = changed;
  const refresh = useCallback(async () => {
    const before = latest.current;
    void client.refetchQueries({ queryKey: ["runs", "counts"], type: "active" });
    try {
      await client.refetchQueries({ queryKey: ["runs", "list"], type: "active" }, { throwOnError: true });
    } catch {
      return; // the page says why, and the new runs stay behind the button
    }
    // Runs that came while the answers were on their way stay behind the button.
    setChanged((state) => changesSince(before, state));
  }, [client]);

  useBatchedFeed(apply);

  // Without a feed the newest runs and the active ones are asked for, and treated like its messages.
  const probes: RunFilters[] = [{ limit: LIMITS.ended }];
  for (const { query, limit, pages } of active) {
    if (query) probes.push({ ...query, limit: Math.min(limit * (pages?.length ?? 1), PAGE_LIMIT) });
  }
  const probe = useQuery({
    queryKey: ["runs", "probe", scopeOf(filters), probes],
    queryFn: async ({ signal }) => {
      const base = countsQuery(filters, new Date());
      const answers = await Promise.all(probes.map((query) => listRuns({ ...base, ...query }, signal)));
      return answers.flatMap((page) => page.data);
    },
    enabled: interval !== false && connection !== "connecting" && all.some(({ isSuccess }) => isSuccess),
    refetchInterval: interval,
  });
  useEffect(() => {
    if (probe.data) apply(probe.data);
  }, [probe.data, apply]);

  const isEmpty = rows.active.length + rows.ended.length === 0;
  const freshCount = [...changed.fresh].filter((id) => !shownIds.current.has(id)).length; // a list may have them by now
  const hasFresh = freshCount > 0;
  useEffect(() => {
    if (isEmpty && hasFresh) void refresh(); // nothing can jump on an empty page
  }, [isEmpty, hasFresh, refresh]);

  return {
    ...rows,
    counts: counts.data,
    freshCount,
    isLoading: all.some(({ isLoading }) => isLoading),
    error: all.find(({ error }) => error)?.error,
    olderActive: joined(active.map(({ older }) => older)),
    olderEnded: ended.older,
    refresh,
  };
}

/** When the oldest listed run was accepted; 0: no older ones are left out. */
function oldestOf({ pages, older }: Pick<ReturnType<typeof useRunPages>, "pages" | "older">): number {
  return older === null ? 0 : (pages?.flatMap(({ data }) => data).at(-1)?.created_at ?? 0);
}

/** The next pages of several lists as one. */
function joined(lists: readonly (OlderRuns | null)[]): OlderRuns | null {
  const older = lists.filter((list) => list !== null);
  if (older.length === 0) return null;
  return {
    isLoading: older.some(({ isLoading }) => isLoading),
    load: () => {
      for (const list of older) list.load();
    },
  };
}

/** Messages of the feed are applied once per frame, and the counts asked for again at most every two seconds. */
function useBatchedFeed(apply: (runs: readonly RunSummary[]) => void): void {
  const recount = useRereadAfter(COUNTS_MS, ["runs", "counts"]);
  const latest = useRef(apply);
  latest.current = apply;
  const batch = useRef(new Map<string, RunSummary>());
  const frame = useRef(0);

  useFeed({
    onRun: (run) => {
      batch.current.set(run.run_id, run);
      frame.current ||= requestAnimationFrame(() => {
        frame.current = 0;
        const runs = [...batch.current.values()];
        batch.current.clear();
        latest.current(runs);
      });
      recount();
    },
  });
  useEffect(() => () => cancelAnimationFrame(frame.current), []);
}
