/** Reading approvals again after they changed. */
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import type { ApprovalFilters } from "musterd-client";
import { useRef } from "react";
import { useFeed } from "./feed";

/** Messages that arrive together are one change. */
const TOGETHER_MS = 50;

/** Read the approvals of these runs again, and the lists over all runs. */
export function rereadApprovals(client: QueryClient, runIds: ReadonlySet<string>): void {
  void client.invalidateQueries({
    queryKey: ["approvals"],
    predicate: ({ queryKey: [, , query] }) => {
      const runId = (query as ApprovalFilters | undefined)?.run_id;
      return typeof runId !== "string" || runIds.has(runId);
    },
  });
}

/** Keeps all approvals that are shown up to date; once, by the frame of the page. */
export function useApprovalChanges(): void {
  const client = useQueryClient();
  const changed = useRef(new Set<string>());
  useFeed({
    onApproval: ({ run_id: runId }) => {
      if (changed.current.size === 0) {
        setTimeout(() => {
          rereadApprovals(client, changed.current);
          changed.current = new Set();
        }, TOGETHER_MS);
      }
      changed.current.add(runId);
    },
  });
}
