/** Reading the state of the server. */
import { useQuery } from "@tanstack/react-query";
import { dataOf, type Schemas } from "musterd-client";
import { ApiError, api } from "../api/client";
import type { Readiness, ServerStatus } from "./status";

const STATUS_MS = 5_000;

/** The full status; null if the key does not cover it. */
export function useServerStatus() {
  return useQuery({
    queryKey: ["server", "status"],
    queryFn: ({ signal }) => unlessForbidden(dataOf(api.GET("/-/status", { signal })) as Promise<ServerStatus>),
    refetchInterval: (query) => (query.state.data === null ? false : STATUS_MS),
    retry: false, // it is asked for again soon, and until then the page says why there is no answer
  });
}

/** The checks, which everybody may read. A 503 has them too. */
export function useReadiness(isEnabled: boolean) {
  return useQuery({
    queryKey: ["server", "ready"],
    queryFn: async ({ signal }): Promise<Readiness> => {
      try {
        return (await dataOf(api.GET("/-/ready", { signal }))) as Readiness;
      } catch (error) {
        if (error instanceof ApiError && hasChecks(error.body)) return error.body;
        throw error;
      }
    },
    enabled: isEnabled,
    refetchInterval: STATUS_MS,
    retry: false,
  });
}

/** What was used today (UTC); null if the key does not cover it. */
export function useUsageToday() {
  return useQuery({
    queryKey: ["server", "usage"],
    queryFn: async ({ signal }): Promise<DayUsage | null> => {
      const today = new Date().toISOString().slice(0, 10);
      const query = { starting_date: today, ending_date: today };
      const answer = await unlessForbidden(dataOf(api.GET("/metrics", { params: { query }, signal })));
      return answer?.metrics.find((day) => day.date.startsWith(today)) ?? null;
    },
    refetchInterval: 60_000,
  });
}

export type DayUsage = Schemas["DayAggregatedMetrics"];

/** An answer; null if the key does not cover it. */
async function unlessForbidden<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 403 || error.status === 404)) return null;
    throw error;
  }
}

export function isRefused(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

function hasChecks(body: unknown): body is Readiness {
  return typeof body === "object" && body !== null && "checks" in body && typeof body.checks === "object";
}
