import { Hand } from "lucide-react";
import { Link } from "wouter";
import { Unread } from "../shared/PageStates";
import { componentPath } from "./component";
import { useWorkflow } from "./queries";
import { kindText, personText, runnerOf, type WorkflowStep } from "./workflow";

/** The declared steps of a workflow as a tree: what runs each of them, and which need a person. */
export function WorkflowSteps({ id }: { id: string }) {
  const { data, error, refetch } = useWorkflow(id);
  if (data === undefined) return <Unread error={error} onRetry={() => void refetch()} />;
  if (data.steps.length === 0)
    return <p className="text-ink-3">This workflow is a function, so it declares no steps.</p>;
  return (
    <ol className="member-tree">
      <Steps steps={data.steps} />
    </ol>
  );
}

function Steps({ steps }: { steps: readonly WorkflowStep[] }) {
  return steps.map((step) => <Step key={step.step_id} step={step} />);
}

function Step({ step }: { step: WorkflowStep }) {
  const kind = kindText(step);
  const person = personText(step);
  return (
    <li>
      <div className="flex flex-wrap items-center gap-x-2">
        <b className="font-semibold">{step.name}</b>
        {kind === null ? <RunBy step={step} /> : <span className="tag">{kind}</span>}
        {person === null ? null : (
          <span className="tag" data-tone="wait">
            <Hand className="icon-small" aria-hidden="true" />
            {person}
          </span>
        )}
      </div>
      {step.description ? <p className="text-ink-3">{step.description}</p> : null}
      {step.steps === undefined ? null : (
        <ol>
          <Steps steps={step.steps} />
        </ol>
      )}
      {step.else_steps === undefined ? null : (
        <>
          <p className="text-meta text-ink-3">Otherwise</p>
          <ol>
            <Steps steps={step.else_steps} />
          </ol>
        </>
      )}
    </li>
  );
}

function RunBy({ step }: { step: WorkflowStep }) {
  const runner = runnerOf(step);
  if (runner === null) return <span className="text-ink-3">function</span>;
  return (
    <Link href={componentPath(runner.kind, runner.id)} className="text-ink-2 underline">
      {`${runner.kind} ${runner.name}`}
    </Link>
  );
}
