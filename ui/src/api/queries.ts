/** The query cache, and the queries that several pages share. */
import { type Query, QueryCache, QueryClient, queryOptions, useQueryClient } from "@tanstack/react-query";
import { dataOf } from "musterd-client";
import { authState, onAuthChange } from "./auth";
import { ApiError, api } from "./client";
import { useFeed } from "./feed";

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

/** The first words of the keys of what the feed keeps current. */
const FED: readonly unknown[] = ["runs", "run", "sessions", "approvals"];

/** Read again what the feed keeps current if it cannot tell all that has changed since. */
export function useRereadAfterGaps(): void {
  const client = useQueryClient();
  useFeed({
    onGap: async () => {
      const fed = { predicate: ({ queryKey }: Query) => FED.includes(queryKey[0]) };
      await client.cancelQueries(fed); // an answer that is on its way may be too old
      await client.invalidateQueries(fed);
    },
  });
}
