import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { request, segment } from "../api/client";
import type { RunDetail } from "../api/types";
import type { Approval } from "./approval";
import { storyOf } from "./story";

const STALE_MS = 60_000;

/** What led to the question, and the way to its run. */
export function Story({ approval }: { approval: Approval }) {
  const run = useQuery({
    queryKey: ["runs", "one", approval.run_id, "summary"],
    queryFn: ({ signal }) =>
      request<RunDetail>(`/runs/${segment(approval.run_id)}`, { query: { view: "summary" }, signal }),
    staleTime: STALE_MS,
  });
  // For a call of the run itself the task is the person's message, and longer than the summary's.
  const input = approval.member_name ? run.data?.input : (approval.task ?? run.data?.input);
  const lines = run.isPending ? [] : storyOf(approval, input ?? null, run.data?.members ?? []);
  const texts = useStepTexts(
    approval.run_id,
    lines.flatMap((line) => (line.text === null ? [line.path] : [])),
  );
  return (
    <section className="question-story" aria-labelledby="story">
      <h3 id="story" className="mb-2.5">
        Background
      </h3>
      {lines.map((line) => {
        const text = line.text ?? texts.get(line.path);
        return text ? <Said key={`${line.who} ${line.path}`} who={line.who} text={text} /> : null;
      })}
      <p className="mt-3">
        <Link
          href={`/runs/${encodeURIComponent(approval.run_id)}?step=${encodeURIComponent(approval.step_path)}`}
          className="text-link"
        >
          Open the run at this step
        </Link>
      </p>
    </section>
  );
}

/** The texts of model calls by the paths of their steps; calls without a text are left out. */
function useStepTexts(runId: string, paths: readonly string[]): ReadonlyMap<string, string> {
  const steps = useQueries({
    queries: paths.map((path) => ({
      queryKey: ["runs", "one", runId, "step", path],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        request<{ result?: string | null }[]>(`/runs/${segment(runId)}/steps`, { query: { path }, signal }),
      staleTime: STALE_MS,
      retry: false,
    })),
  });
  const texts = new Map<string, string>();
  for (const [index, path] of paths.entries()) {
    const text = steps[index]?.data?.[0]?.result;
    if (text) texts.set(path, text);
  }
  return texts;
}

function Said({ who, text }: { who: string; text: string }) {
  return (
    <div className="said">
      <b>{who}</b> {text}
    </div>
  );
}
