/** The query cache, and the queries that several pages share. */
import { QueryClient, queryOptions } from "@tanstack/react-query";
import { authState, onAuthChange } from "./auth";
import { ApiError, request } from "./client";
import type { Me } from "./types";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      gcTime: 5 * 60_000,
      retry: (failures, error) => {
        const isPassing = error instanceof ApiError && (error.status === 0 || error.status >= 500);
        return isPassing && failures < 3;
      },
      refetchOnWindowFocus: true,
      networkMode: "always", // a server on loopback is there without a network
    },
    mutations: { networkMode: "always" },
  },
});

// Another key may see other things: everything is asked for again.
onAuthChange(() => {
  if (!authState().isRefused) void queryClient.resetQueries();
});

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: ({ signal }) => request<Me>("/me", { signal }),
  staleTime: 5 * 60_000,
  retry: false,
});

export const pendingApprovalsQuery = queryOptions({
  queryKey: ["approvals", "count"],
  queryFn: async ({ signal }) => {
    const answer = await request<{ count: number }>("/approvals/count", { signal });
    return answer.count;
  },
});
