import { formatCount, formatDuration } from "../../shared/format";
import type { Retry } from "../live/feed";
import type { RunStep } from "../model/types";
import type { Lane, Span } from "../spans";
import type { Placed } from "../stepKey";
import { retryText } from "../timeline/describe";
import { Fact } from "./Fact";

/** Steps have whole milliseconds. */
const ROUNDING = 0.005;
/** An answer that arrives in one piece has no speed. */
const LEAST_SECONDS = 0.05;
/** An answer that arrives in less time says little about the speed of its model. */
const LEAST_SPEED_SECONDS = 0.5;

/** Why a model call took its time: what it waited for, and how fast its answer arrived. */
export function ModelTiming({ placed, step }: { placed: Placed; step: RunStep | undefined }) {
  const { span, lane } = placed;
  if (span.kind !== "model") return null;
  const loading = loadingBefore(span, lane);
  const speed = tokensPerSecond(span, step?.usage?.output_tokens ?? 0);
  return (
    <>
      {step?.state === "completed" && step.tries === 0 ? (
        <Fact name="Model">Not needed for this answer, and not called</Fact>
      ) : null}
      {loading === null ? null : (
        <Fact name="Loading">{`${formatDuration(loading)} before, until the model was loaded`}</Fact>
      )}
      {span.firstAt === null ? null : (
        <Fact name="Answer began">
          {`after ${formatDuration(span.firstAt - span.start)}`}
          {arrivedAtOnce(span) ? ", and arrived in one piece" : null}
        </Fact>
      )}
      {speed === null ? null : <Fact name="Speed">{`${formatCount(speed)} tokens per second`}</Fact>}
    </>
  );
}

/** How many tokens of the answer arrived in a second, from its first piece on; null if it is not known. */
export function tokensPerSecond({ firstAt, end }: Pick<Span, "firstAt" | "end">, outputTokens: number): number | null {
  if (firstAt === null || end === null || outputTokens === 0 || end - firstAt < LEAST_SPEED_SECONDS) return null;
  return outputTokens / (end - firstAt);
}

/** Whether nothing is known about when the answer was written: some models send a call of a tool when it is complete. */
function arrivedAtOnce({ firstAt, end }: Pick<Span, "firstAt" | "end">): boolean {
  return firstAt !== null && end !== null && end - firstAt < LEAST_SECONDS;
}

/** For how long the call waited for its model to be loaded; null: it did not have to. */
function loadingBefore(span: Span, lane: Lane): number | null {
  const loading = lane.spans.find(
    (one) => one.kind === "loading" && one.runId === span.runId && Math.abs((one.end ?? 0) - span.start) < ROUNDING,
  );
  return loading?.end == null ? null : loading.end - loading.start;
}

/** The tries of a model call that failed, with the waits after them. */
export function FailedTries({ retries }: { retries: readonly Retry[] }) {
  if (retries.length === 0) return null;
  const waited = retries.reduce((sum, retry) => sum + retry.waitSeconds, 0);
  return (
    <section>
      <h3>
        Failed tries
        <span className="ml-auto font-medium text-ink-3">{`${formatDuration(waited)} of waiting`}</span>
      </h3>
      <ol className="attempts">
        {retries.map((retry) => (
          <li key={retry.at}>
            <span className="tag" data-tone="fail">
              {retry.number}
            </span>
            <span className="attempt-note">{retryText(retry)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
