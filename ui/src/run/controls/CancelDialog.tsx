import { Button } from "../../shared/Button";
import { Dialog } from "../../shared/Dialog";
import type { RunDetail } from "../model/types";
import { isFinal } from "../model/types";
import type { useRunActions } from "./actions";

interface CancelDialogProps {
  run: RunDetail;
  actions: ReturnType<typeof useRunActions>;
  onClose: () => void;
}

export function CancelDialog({ run, actions, onClose }: CancelDialogProps) {
  const members = run.members.filter((member) => !isFinal(member.status)).length;
  const also =
    members === 0
      ? ""
      : members === 1
        ? " and the member that is running"
        : ` and the ${members} members that are running`;
  return (
    <Dialog title="Cancel this run?" onClose={onClose}>
      <div className="card-body">
        <p>{`This stops the run${also}. What it has produced so far is kept. Tool calls that cannot be stopped may still take effect.`}</p>
        <div className="mt-4 flex flex-wrap gap-2">
          <Button
            kind="danger"
            onClick={() => {
              actions.cancel.mutate();
              onClose();
            }}
          >
            Cancel the run
          </Button>
          <Button onClick={onClose}>Keep it running</Button>
        </div>
      </div>
    </Dialog>
  );
}
