import { Button } from "../../shared/Button";
import { Dialog } from "../../shared/Dialog";
import { componentName, type RunDetail } from "../model/types";

/** The turn of the root run with a step, its own or a member's; null: the step is in no turn. */
export function turnOf(path: string): number | null {
  const turn = /^t(\d+)\//.exec(path)?.[1];
  return turn === undefined ? null : Number(turn);
}

interface ForkDialogProps {
  run: RunDetail;
  turn: number;
  onFork: () => void;
  onClose: () => void;
}

export function ForkDialog({ run, turn, onFork, onClose }: ForkDialogProps) {
  const before = turn === 0 ? "begins at its first turn" : `takes over what happened before turn ${turn + 1}`;
  return (
    <Dialog title="Fork from here?" onClose={onClose}>
      <div className="card-body">
        <p>{`A new run of ${componentName(run)} ${before}. From there on, model and tool calls are made again. This run stays as it is.`}</p>
        <div className="mt-4 flex flex-wrap gap-2">
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
