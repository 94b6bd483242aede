import { Dialog } from "../shared/Dialog";
import type { SessionDialogProps } from "./SessionDialogs";
import { SessionSide } from "./SessionSide";

/** What stands beside the conversation on a wide window. */
export function AboutDialog({ session, onClose }: SessionDialogProps) {
  return (
    <Dialog title="About this session" onClose={onClose}>
      <div className="card-body session-about">
        <SessionSide session={session} item={undefined} />
      </div>
    </Dialog>
  );
}
