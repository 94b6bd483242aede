import { Duration } from "../../shared/Figures";
import type { RunDetail } from "../model/types";
import type { Span } from "../spans";
import { MemberLink } from "./MemberLink";

/** Steps have whole milliseconds. */
const ROUNDING = 0.005;

/** The members for which a leader waited, the one that took longest first. */
export function WaitedFor({ run, span }: { run: RunDetail; span: Span }) {
  const { start, end } = span;
  const members = run.members
    .filter((member) => member.parent_run_id === span.runId)
    .flatMap(({ started_at: from, ...member }) => (from === null ? [] : [{ ...member, from }]))
    .filter(({ from }) => from >= start - ROUNDING && (end === null || from <= end))
    .sort((a, b) => (b.ended_at ?? Infinity) - b.from - ((a.ended_at ?? Infinity) - a.from));
  return (
    <section>
      <h3>Members</h3>
      <ol className="attempts">
        {members.map((member) => (
          <li key={member.run_id}>
            <MemberLink run={run} member={member} />
            <span className="truncate text-ink-3">{member.task}</span>
            <span className="numeric text-ink-3">
              <Duration from={member.from} to={member.ended_at} />
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}
