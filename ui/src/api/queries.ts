/** The query cache, and the queries that several pages share. */
import { QueryClient, queryOptions } from "@tanstack/react-query";
import { dataOf } from "musterd-client";
import { authState, onAuthChange } from "./auth";
import { ApiError, api } from "./client";

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
  queryFn: ({ signal }) => dataOf(api.GET("/me", { signal })),
  staleTime: 5 * 60_000,
  retry: false,
});

export const pendingApprovalsQuery = queryOptions({
  queryKey: ["approvals", "count"],
  queryFn: async ({ signal }) => {
    const { count } = await dataOf(api.GET("/approvals/count", { signal }));
    return count;
  },
});
