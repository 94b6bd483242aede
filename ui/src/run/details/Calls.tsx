import { Link, useSearch } from "wouter";
import type { RunDetail, RunStep } from "../model/types";
import { MemberLink } from "./MemberLink";

interface CallsProps {
  run: RunDetail;
  steps: readonly RunStep[];
  /** The step of the model call. */
  step: RunStep;
}

/** The calls that a model decided on, each with a link to its step, or to the members that it asked. */
export function Calls({ run, steps, step }: CallsProps) {
  const search = useSearch();
  const calls = callsOf(steps, step);
  if (calls.length === 0) return null;
  const place = (path: string) => {
    const params = new URLSearchParams(search);
    params.set("step", path);
    return `/runs/${encodeURIComponent(run.run_id)}?${params}`;
  };
  return (
    <section>
      <h3>Calls</h3>
      <ol className="attempts">
        {calls.map(({ path, name, state, child_run_ids }) => {
          const members = run.members.filter((member) => child_run_ids.includes(member.run_id));
          return (
            <li key={path}>
              {members.length === 0 ? (
                <Link className="underline" href={place(path)}>
                  <code>{name}</code>
                </Link>
              ) : (
                <span>
                  Asks
                  {members.map((member, i) => (
                    <span key={member.run_id}>
                      {i === 0 ? " " : ", "}
                      <MemberLink run={run} member={member} />
                    </span>
                  ))}
                </span>
              )}
              {state === "failed" ? <span className="text-fail">failed</span> : null}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

/** The calls that the answer of a model asked for, in its order: `t0/c0` and `t0/c1` are those of `t0/m`. */
function callsOf(steps: readonly RunStep[], { kind, path }: RunStep): RunStep[] {
  if (kind !== "model" || !path.endsWith("/m")) return [];
  const prefix = `${path.slice(0, -1)}c`;
  const numberOf = (step: RunStep) => Number(step.path.slice(prefix.length));
  return steps
    .filter((step) => step.path.startsWith(prefix) && Number.isInteger(numberOf(step)))
    .sort((a, b) => numberOf(a) - numberOf(b));
}
