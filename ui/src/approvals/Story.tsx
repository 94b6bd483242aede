import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { ApiError } from "../api/client";
import { readResult, readSummary } from "../api/runs";
import type { Approval } from "./approval";
import { storyOf } from "./story";

const STALE_MS = 60_000;

/** What led to the question, and the way to its run. */
export function Story({ approval }: { approval: Approval }) {
  const run = useQuery({
    queryKey: ["runs", "one", approval.run_id, "summary"],
    queryFn: ({ signal }) => readSummary(approval.run_id, signal),
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
  const texts = useQuery({
    queryKey: ["runs", "one", runId, "texts", paths],
    queryFn: ({ signal }) => Promise.all(paths.map((path) => stepText(runId, path, signal))),
    enabled: paths.length > 0,
    staleTime: STALE_MS,
  });
  return new Map(paths.flatMap((path, index) => (texts.data?.[index] ? [[path, texts.data[index]]] : [])));
}

/** "" if the step is not there: the question does not depend on it. */
async function stepText(runId: string, path: string, signal: AbortSignal): Promise<string> {
  try {
    return (await readResult(runId, path, signal)) ?? "";
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return "";
    throw error;
  }
}

function Said({ who, text }: { who: string; text: string }) {
  return (
    <div className="said">
      <b>{who}</b> {text}
    </div>
  );
}
