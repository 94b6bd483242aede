import { Button } from "../../shared/Button";
import { Dialog } from "../../shared/Dialog";
import { componentName, type RunDetail } from "../model/types";
import type { ForkPlan } from "./forkPlan";

interface ForkDialogProps {
  run: RunDetail;
  plan: ForkPlan;
  onFork: () => void;
  onClose: () => void;
}

export function ForkDialog({ run, plan, onFork, onClose }: ForkDialogProps) {
  const { kept, repeated, member } = plan;
  const name = componentName(run);
  return (
    <Dialog title="Fork from here?" onClose={onClose}>
      <div className="card-body question-stack">
        <p>A new run gets the same message and goes on from this point. This run stays as it is.</p>
        {member === null ? null : (
          <p>{`This step is in the work of ${member.name}. The new run goes back to the moment when ${name} delegated it, so ${member.name} starts again.`}</p>
        )}
        {kept.length === 0 ? (
          <p>No tool was called before this point.</p>
        ) : (
          <Calls text="These calls are kept with their results, and not made again:" names={kept} />
        )}
        {repeated.length === 0 ? (
          <p>The models are called again from here on. This run called no tool after this point.</p>
        ) : (
          <Calls
            text="The models are called again from here on, and can make these calls again, even if they took effect in this run:"
            names={repeated}
          />
        )}
        <div className="flex flex-wrap gap-2">
          <Button
            kind="primary"
            onClick={() => {
              onFork();
              onClose();
            }}
          >
            Fork the run
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </div>
    </Dialog>
  );
}

function Calls({ text, names }: { text: string; names: readonly string[] }) {
  return (
    <div>
      <p>{text}</p>
      <div className="mt-1 flex flex-wrap gap-1.5">
        {names.map((name) => (
          <span key={name} className="tag tag-code" data-tone="tool">
            {name}
          </span>
        ))}
      </div>
    </div>
  );
}
