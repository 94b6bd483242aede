/** Reading approvals, and deciding. */
import {
  type InfiniteData,
  useInfiniteQuery,
  useMutation,
  useMutationState,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query";
import type { ApprovalFilters, Schemas } from "musterd-client";
import { rereadApprovals } from "../api/approvalChanges";
import { ApiError, api } from "../api/client";
import { exactDataOf } from "../api/exactJson";
import { usePollInterval } from "../api/feed";
import type { Approval, ApprovalPage } from "./approval";
import { DECIDED, RECENT_LIMIT } from "./inbox";
import { type Decision, resolveBody } from "./question/decision";

const POLL_MS = 3_000;
const PENDING_LIMIT = 200;
const RUN_LIMIT = 200;

const LISTS = ["approvals", "list"] as const;
const PENDING = ["approvals", "pending"] as const;

/** The approvals that wait, by pages, those that expire first on the first; and the newest ones of each status. */
export function useInboxPages() {
  const pending = useInfiniteQuery({
    queryKey: PENDING,
    queryFn: ({ pageParam: page, signal }) =>
      listApprovals({ status: "pending", sort_by: "expires_at", limit: PENDING_LIMIT, page }, signal),
    initialPageParam: 1,
    getNextPageParam: ({ meta }) => (meta.page < meta.total_pages ? meta.page + 1 : null),
    refetchInterval: usePollInterval(POLL_MS),
  });
  const recent = useQuery({
    queryKey: [...LISTS, "recent"],
    queryFn: ({ signal }) => readRecent(signal),
    refetchInterval: usePollInterval(POLL_MS),
  });
  return { pending, recent };
}

async function readRecent(signal: AbortSignal): Promise<ApprovalPage> {
  const newest = await listApprovals({ limit: RECENT_LIMIT }, signal);
  if (newest.data.length < RECENT_LIMIT) return newest; // these are all
  // Questions that wait could leave no place on the page for what is decided.
  const decided = await Promise.all(DECIDED.map((status) => listApprovals({ status, limit: RECENT_LIMIT }, signal)));
  return { ...newest, data: [newest, ...decided].flatMap((page) => page.data) };
}

/** The approvals of one run and its members. */
export function useRunApprovals(runId: string) {
  return useApprovals({ run_id: runId, limit: RUN_LIMIT });
}

function listApprovals(query: ApprovalFilters, signal: AbortSignal): Promise<ApprovalPage> {
  return exactDataOf(api.GET("/approvals", { params: { query }, signal, parseAs: "text" }));
}

function useApprovals(query: ApprovalFilters) {
  return useQuery({
    queryKey: [...LISTS, query],
    queryFn: ({ signal }) => listApprovals(query, signal),
    refetchInterval: usePollInterval(POLL_MS),
  });
}

/** One approval by its id: for a link to one that the lists do not have. */
export function useApproval(id: string | undefined) {
  return useQuery({
    queryKey: ["approvals", "one", id],
    queryFn: ({ signal }) => {
      const params = { path: { approval_id: id ?? "" } };
      return exactDataOf<Approval>(api.GET("/approvals/{approval_id}", { params, signal, parseAs: "text" }));
    },
    enabled: id !== undefined,
    refetchInterval: usePollInterval(POLL_MS),
  });
}

/** The decision that was sent last about an approval, also before it was shown anew. */
export interface SentDecision {
  send: (decision: Decision) => void;
  sent: Decision | null;
  isSending: boolean;
  /** Why it failed. */
  error: Error | null;
}

/** Sends a decision. On a 409 the approval is read again, so that the page shows who decided. */
export function useResolve(approval: Approval): SentDecision {
  const client = useQueryClient();
  const mutationKey = ["resolve", approval.id];
  const { mutate } = useMutation({
    mutationKey,
    mutationFn: (decision: Decision) => {
      const params = { path: { approval_id: approval.id } };
      const body = resolveBody(decision) as Schemas["ApprovalResolve"];
      const answer = api.POST("/approvals/{approval_id}/resolve", { params, body, parseAs: "text" });
      return exactDataOf<Approval>(answer).catch(reportUnanswered);
    },
    onSuccess: (decided) => {
      client.setQueryData(["approvals", "one", approval.id], decided);
      client.setQueriesData<ApprovalPage>({ queryKey: LISTS }, (page) => page && withApproval(page, decided));
      client.setQueryData<InfiniteData<ApprovalPage>>(
        PENDING,
        (data) => data && { ...data, pages: data.pages.map((page) => withApproval(page, decided)) },
      );
    },
    onSettled: (_decided, error) => {
      if (error instanceof ApiError && error.isNetwork) return;
      rereadApprovals(client, new Set([approval.run_id]));
    },
  });
  const last = useMutationState({ filters: { mutationKey } }).at(-1);
  return {
    send: mutate,
    sent: (last?.variables as Decision | undefined) ?? null,
    isSending: last?.status === "pending",
    error: last?.error ?? null,
  };
}

/** In words that stay true beside the question once the server is back. */
function reportUnanswered(error: unknown): never {
  if (!(error instanceof ApiError && error.isNetwork)) throw error;
  throw new ApiError("The server did not answer. Send your decision again: it counts once.", 0, error.code);
}

export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}

function withApproval(page: ApprovalPage, approval: Approval): ApprovalPage {
  return { ...page, data: page.data.map((one) => (one.id === approval.id ? approval : one)) };
}
