import { formatDuration } from "../../shared/format";
import type { Tone } from "../../shared/status";
import type { RunStep, StepAttempt } from "../model/types";

const OUTCOME: Record<string, { text: string; tone: Tone }> = {
  completed: { text: "Completed", tone: "ok" },
  failed: { text: "Failed", tone: "fail" },
  cut_off: { text: "Cut off", tone: "idle" },
  cancelled: { text: "Cancelled", tone: "idle" },
  unknown: { text: "Outcome unknown", tone: "wait" },
  running: { text: "Running", tone: "run" },
  waiting: { text: "Needs you", tone: "wait" },
};

/** How often the step was made, and how each attempt ended. */
export function Attempts({ step }: { step: RunStep }) {
  const { attempts } = step;
  return (
    <section>
      <h3>
        Attempts
        <span className="ml-auto font-medium text-ink-3">{attempts.length}</span>
      </h3>
      <ol className="attempts">
        {attempts.map((attempt, i) => {
          const outcome = OUTCOME[attempt.outcome] ?? { text: attempt.outcome, tone: "idle" as const };
          return (
            <li key={attempt.started_at}>
              <span className="tag" data-tone={outcome.tone}>
                {i + 1}
              </span>
              <span>{outcome.text}</span>
              <span className="numeric text-ink-3">
                {attempt.ended_at === null ? "" : formatDuration(attempt.ended_at - attempt.started_at)}
              </span>
              <AttemptNote attempt={attempt} before={attempts[i - 1]} step={step} />
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function AttemptNote({
  attempt,
  before,
  step,
}: {
  attempt: StepAttempt;
  before: StepAttempt | undefined;
  step: RunStep;
}) {
  const text = noteOf(attempt, before, step);
  return text === "" ? null : <span className="attempt-note">{text}</span>;
}

function noteOf(attempt: StepAttempt, before: StepAttempt | undefined, step: RunStep): string {
  if (attempt.outcome === "cut_off") return "The process stopped while the call was in progress.";
  if (attempt.outcome === "unknown") return "The process stopped during the call; whether it took effect is not known.";
  if (before?.outcome === "cut_off") {
    return step.kind === "tool" ? "Made again, with the same idempotency key." : "Made again automatically.";
  }
  return "";
}
