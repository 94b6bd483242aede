/** Reading what the server declares: teams, agents, workflows and their last runs. */
import { useQuery } from "@tanstack/react-query";
import { dataOf } from "musterd-client";
import { useMemo } from "react";
import { ApiError, api } from "../api/client";
import { useFeed, usePollInterval } from "../api/feed";
import { useRereadAfter } from "../api/reread";
import { listRuns } from "../api/runs";
import type { ComponentKind } from "../api/types";
import { type Component, toDirectory } from "./component";
import type { Workflow } from "./workflow";

const STALE_MS = 60_000;
const LAST_RUNS = 5;
const LAST_RUNS_MS = 3_000;

/** All that the caller may see. Lists that the key does not cover are empty. */
export function useDirectory() {
  const teams = useQuery({
    queryKey: ["components", "teams"],
    queryFn: ({ signal }) => ifVisible(dataOf(api.GET("/teams", { signal }))),
    staleTime: STALE_MS,
  });
  const agents = useQuery({
    queryKey: ["components", "agents"],
    queryFn: ({ signal }) => ifVisible(dataOf(api.GET("/agents", { signal }))),
    staleTime: STALE_MS,
  });
  const workflows = useQuery({
    queryKey: ["components", "workflows"],
    queryFn: ({ signal }) => ifVisible(dataOf(api.GET("/workflows", { signal }))),
    staleTime: STALE_MS,
  });
  const directory = useMemo(() => {
    if (teams.data === undefined || agents.data === undefined || workflows.data === undefined) return undefined;
    return toDirectory(teams.data, agents.data, workflows.data);
  }, [teams.data, agents.data, workflows.data]);
  const refetch = () => {
    void teams.refetch();
    void agents.refetch();
    void workflows.refetch();
  };
  return { directory, error: teams.error ?? agents.error ?? workflows.error, refetch };
}

/** A workflow with its steps; null asks for none. */
export function useWorkflow(id: string | null) {
  return useQuery({
    queryKey: ["components", "workflow", id],
    queryFn: async ({ signal }) => {
      const params = { path: { workflow_id: id ?? "" } };
      return (await dataOf(api.GET("/workflows/{workflow_id}", { params, signal }))) as Workflow;
    },
    enabled: id !== null,
    staleTime: STALE_MS,
  });
}

export function useLastRuns(kind: ComponentKind, id: string) {
  const queryKey = ["runs", "of", kind, id];
  const rereadSoon = useRereadAfter(LAST_RUNS_MS, queryKey);
  useFeed({ onRun: (run) => run.component_kind === kind && run.component_id === id && rereadSoon() });
  return useQuery({
    queryKey,
    queryFn: ({ signal }) => listRuns({ [`${kind}_id`]: id, limit: LAST_RUNS }, signal),
    refetchInterval: usePollInterval(LAST_RUNS_MS),
  });
}

async function ifVisible(list: Promise<unknown[]>): Promise<Component[]> {
  try {
    return (await list) as Component[];
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return [];
    throw error;
  }
}
