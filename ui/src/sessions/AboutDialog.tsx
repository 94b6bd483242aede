import { Dialog } from "../shared/Dialog";
import type { SessionDialogProps } from "./SessionDialogs";
import { SessionSide, type SessionSideProps } from "./SessionSide";

/** What stands beside the conversation on a wide window. */
export function AboutDialog({ session, item, onClose }: SessionDialogProps & SessionSideProps) {
  return (
    <Dialog title="About this session" onClose={onClose}>
      <div className="card-body session-about">
        <SessionSide session={session} item={item} />
      </div>
    </Dialog>
  );
}
