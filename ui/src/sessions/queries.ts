/** Reading sessions, and changing them. */
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { dataOf } from "musterd-client";
import { api, reportNot, segment } from "../api/client";
import { forkSession } from "../api/components";
import { exactDataOf } from "../api/exactJson";
import { useFeed, usePollInterval } from "../api/feed";
import { reread, useRereadAfter } from "../api/reread";
import { listRuns } from "../api/runs";
import type { Page, RunSummary } from "../api/types";
import { leadTo, useFollowUp } from "../app/followUp";
import { currentPath, navigate } from "../app/hashLocation";
import type { JsonObject } from "../approvals/approval";
import type { RunTarget } from "../start/startRequest";
import type { SessionDetail, SessionFilter, SessionItem, SessionPage, SessionRun } from "./session";

const POLL_MS = 3_000;
const LIST_LIMIT = 40;
/** Root runs with their full texts on one page of a conversation. */
const RUNS_LIMIT = 20;
/** Summaries are small: these cover the last pages of a conversation. */
const SUMMARY_LIMIT = 100;

export function useSessionList({ text, status }: SessionFilter) {
  useListChanges();
  return useInfiniteQuery({
    queryKey: ["sessions", "list", text, status],
    queryFn: ({ pageParam, signal }) => {
      const filters = { ...(text && { q: text }), ...(status && { status: [status] }) };
      const order = { sort_by: "updated_at", sort_order: "desc" as const };
      const query = { ...filters, ...order, limit: LIST_LIMIT, page: pageParam };
      return dataOf(api.GET("/sessions", { params: { query }, signal }));
    },
    initialPageParam: 1,
    getNextPageParam: (page) => (page.meta.page < page.meta.total_pages ? page.meta.page + 1 : undefined),
    placeholderData: keepPreviousData,
    refetchInterval: usePollInterval(3 * POLL_MS),
  });
}

/** Reads the list again after changes of runs, but not more often than a poll would. */
function useListChanges(): void {
  const rereadSoon = useRereadAfter(POLL_MS, ["sessions", "list"]);
  useFeed({ onRun: rereadSoon });
}

export function useSession(id: string | undefined) {
  return useQuery({
    queryKey: ["sessions", "one", id],
    queryFn: ({ signal }) => {
      const params = { path: { session_id: id ?? "" } };
      return exactDataOf<SessionDetail>(api.GET("/sessions/{session_id}", { params, signal, parseAs: "text" }));
    },
    enabled: id !== undefined,
  });
}

/** The session's runs: full texts by page, the newest page first, and the figures of the last runs. */
export function useConversation(id: string) {
  const client = useQueryClient();
  useFeed({
    onRun: (run) => {
      if (run.session_id !== id) return;
      client.setQueryData<Page<RunSummary>>(["sessions", "figures", id], (page) => page && withSummary(page, run));
      if (hasNewText(run)) void reread(client, ["sessions", "runs", id]);
      if (run.ended_at !== null) void reread(client, ["sessions", "one", id]);
    },
  });
  const interval = usePollInterval(POLL_MS);
  const figures = useQuery({
    queryKey: ["sessions", "figures", id],
    queryFn: ({ signal }) => listRuns({ session_id: id, limit: SUMMARY_LIMIT }, signal),
    refetchInterval: interval,
  });
  const runs = useInfiniteQuery({
    queryKey: ["sessions", "runs", id],
    queryFn: ({ pageParam, signal }) => {
      const params = { path: { session_id: id }, query: { limit: RUNS_LIMIT, before: pageParam || null } };
      return exactDataOf<SessionRun[]>(api.GET("/sessions/{session_id}/runs", { params, signal, parseAs: "text" }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => {
      const roots = page.filter((run) => !run.parent_run_id);
      return roots.length < RUNS_LIMIT ? undefined : roots[0]?.run_id;
    },
    refetchInterval: interval,
  });
  return { runs, figures };
}

export function useRename(id: string) {
  return useSessionChange(id, (name: string) => {
    const init = { params: { path: { session_id: id } }, body: { session_name: name } };
    return exactDataOf(api.POST("/sessions/{session_id}/rename", { ...init, parseAs: "text" }));
  });
}

export function useChangeState(id: string) {
  return useSessionChange(id, (state: JsonObject) => {
    const init = { params: { path: { session_id: id } }, body: { session_state: state } };
    return exactDataOf(api.PATCH("/sessions/{session_id}", { ...init, parseAs: "text" }));
  });
}

function useSessionChange<T>(id: string, change: (value: T) => Promise<SessionDetail>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: (session) => {
      client.setQueryData(["sessions", "one", id], session);
      void client.invalidateQueries({ queryKey: ["sessions", "list"] });
    },
  });
}

/** Deletes a session, and leaves its place. */
export function useDeleteSession(id: string) {
  const client = useQueryClient();
  const followUp = useFollowUp();
  return useMutation({
    ...followUp,
    mutationFn: () => dataOf(api.DELETE("/sessions/{session_id}", { params: { path: { session_id: id } } })),
    onSuccess: (_deleted, _sent, origin) => {
      void client.invalidateQueries({ queryKey: ["sessions", "list"] });
      void client.invalidateQueries({ queryKey: ["runs"] });
      // Here and not in the dialog, which may be closed by now. The list is marked as old first, because /sessions leads
      // to its first session. The session's data go last, because its page would read them again.
      if (currentPath() === origin.path) navigate("/sessions");
      client.removeQueries({ queryKey: ["sessions", "one", id] });
      client.removeQueries({ queryKey: ["sessions", "runs", id] });
      client.removeQueries({ queryKey: ["sessions", "figures", id] });
    },
  });
}

const notForked = reportNot("The session was not forked.");

/** Forks a session of a component into a new one that begins with copies of its finished runs, and leads to it. */
export function useFork(sessionId: string) {
  const client = useQueryClient();
  const followUp = useFollowUp();
  return useMutation({
    ...followUp,
    mutationFn: ({ kind, id }: RunTarget) => forkSession(kind, id, sessionId).catch(notForked),
    onSuccess: (forked, _sent, origin) => {
      void client.invalidateQueries({ queryKey: ["sessions", "list"] });
      leadTo(`/sessions/${segment(forked.session_id)}`, "The session was forked.", origin);
    },
  });
}

export function itemsOf(pages: readonly SessionPage[] | undefined): SessionItem[] {
  const byId = new Map<string, SessionItem>();
  for (const page of pages ?? []) for (const item of page.data) byId.set(item.session_id, item);
  return [...byId.values()];
}

/** Whether the run has a text that the list of runs may not have yet. */
function hasNewText(run: RunSummary): boolean {
  return run.status !== "RUNNING";
}

function withSummary(page: Page<RunSummary>, run: RunSummary): Page<RunSummary> {
  const others = page.data.filter((one) => one.run_id !== run.run_id);
  const isKnown = others.length < page.data.length;
  return {
    ...page,
    data: isKnown ? page.data.map((one) => (one.run_id === run.run_id ? run : one)) : [run, ...others],
  };
}
