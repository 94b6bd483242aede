/** The query cache, and the queries that several pages share. */
import { QueryCache, QueryClient, queryOptions } from "@tanstack/react-query";
import { dataOf } from "musterd-client";
import { authState, onAuthChange } from "./auth";
import { ApiError, api } from "./client";

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error, query) => {
      // What is gone, or may not be seen any more, goes from the page too.
      if (error instanceof ApiError && (error.status === 403 || error.status === 404)) {
        query.setState({ data: undefined });
      }
    },
  }),
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

// Another key may see other things: everything is read again. What it may see stays on the page, with what is typed.
onAuthChange(() => {
  if (authState().isRefused) return;
  queryClient.removeQueries({ type: "inactive" });
  void queryClient.invalidateQueries();
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
