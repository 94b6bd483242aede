import { useStartRun } from "../../app/startContext";
import { Button } from "../../shared/Button";
import { Dialog } from "../../shared/Dialog";
import { componentName, componentOf, messageOf, type RunDetail } from "../model/types";
import type { useRunActions } from "./actions";

interface RerunDialogProps {
  run: RunDetail;
  actions: ReturnType<typeof useRunActions>;
  onClose: () => void;
}

/** Asks before a run is made again: it may cost as much, and call the same tools. */
export function RerunDialog({ run, actions, onClose }: RerunDialogProps) {
  const startRun = useStartRun();
  const message = messageOf(run);
  return (
    <Dialog title="Run this again?" onClose={onClose}>
      <div className="card-body question-stack">
        <p>
          {`${componentName(run)} gets the same message, files and options again, in a new run of this session. It starts from the beginning and can make the same calls of tools again.`}
        </p>
        <blockquote className="said max-h-48 overflow-auto whitespace-pre-wrap">{message}</blockquote>
        <p className="text-ink-3">If you change the message, you must enter files and options again.</p>
        <div className="flex flex-wrap gap-2">
          <Button
            kind="primary"
            onClick={() => {
              actions.rerun.mutate();
              onClose();
            }}
          >
            Run again
          </Button>
          <Button
            onClick={() => {
              onClose();
              startRun(componentOf(run).id, { message, sessionId: run.session_id, userId: run.user_id ?? "" });
            }}
          >
            Change the message
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </div>
    </Dialog>
  );
}
