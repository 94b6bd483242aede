import { Dialog } from "../shared/Dialog";

export interface StartRunDialogProps {
  onClose: () => void;
  /** The team or agent that is chosen already. */
  componentId: string | null;
}

export default function StartRunDialog({ onClose, componentId }: StartRunDialogProps) {
  return (
    <Dialog title="Start a run" onClose={onClose}>
      <div className="card-body">{componentId}</div>
    </Dialog>
  );
}
