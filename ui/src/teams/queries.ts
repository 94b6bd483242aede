/** Reading what the server declares: teams, agents and their last runs. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ApiError, request } from "../api/client";
import type { ComponentKind, Page, RunSummary } from "../api/types";
import { type Component, toDirectory } from "./component";

const STALE_MS = 60_000;
const LAST_RUNS = 5;

/** All teams and agents that the caller may see. Lists that the key does not cover are empty. */
export function useDirectory() {
  const teams = useQuery({
    queryKey: ["components", "teams"],
    queryFn: ({ signal }) => listVisible("/teams", signal),
    staleTime: STALE_MS,
  });
  const agents = useQuery({
    queryKey: ["components", "agents"],
    queryFn: ({ signal }) => listVisible("/agents", signal),
    staleTime: STALE_MS,
  });
  const directory = useMemo(() => {
    if (teams.data === undefined || agents.data === undefined) return undefined;
    return toDirectory(teams.data, agents.data);
  }, [teams.data, agents.data]);
  const refetch = () => {
    void teams.refetch();
    void agents.refetch();
  };
  return { directory, error: teams.error ?? agents.error, refetch };
}

export function useLastRuns(kind: ComponentKind, id: string) {
  return useQuery({
    queryKey: ["runs", "of", kind, id],
    queryFn: ({ signal }) =>
      request<Page<RunSummary>>("/runs", { query: { view: "summary", [`${kind}_id`]: id, limit: LAST_RUNS }, signal }),
  });
}

async function listVisible(path: string, signal: AbortSignal): Promise<Component[]> {
  try {
    return await request<Component[]>(path, { signal });
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return [];
    throw error;
  }
}
