/** Reading runs in a few words. */
import { dataOf, type RunFilters } from "musterd-client";
import { api } from "./client";
import type { Page, RunDetail, RunSummary } from "./types";

export async function listRuns(filters: RunFilters, signal: AbortSignal): Promise<Page<RunSummary>> {
  const params = { query: { view: "summary" as const, ...filters } };
  return (await dataOf(api.GET("/runs", { params, signal }))) as Page<RunSummary>;
}

/** A run without its conversation. */
export async function readSummary(runId: string, signal: AbortSignal): Promise<RunDetail> {
  const params = { path: { run_id: runId }, query: { view: "summary" as const } };
  return (await dataOf(api.GET("/runs/{run_id}", { params, signal }))) as RunDetail;
}

/** The result of a step; null if it has none, or is not stored. */
export async function readResult(runId: string, path: string, signal: AbortSignal): Promise<string | null> {
  const params = { path: { run_id: runId }, query: { path } };
  const [step] = await dataOf(api.GET("/runs/{run_id}/steps", { params, signal }));
  return step?.result ?? null;
}
