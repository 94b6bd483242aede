import {
  Download,
  Ellipsis,
  GitFork,
  Link as LinkIcon,
  MessageSquarePlus,
  RotateCcw,
  Square,
  StepForward,
} from "lucide-react";
import { useState } from "react";
import { Button } from "../../shared/Button";
import { copyText } from "../../shared/CodeBlock";
import { Menu, type MenuItem } from "../../shared/Menu";
import { componentOf, isFinal, type RunDetail } from "../model/types";
import type { useRunActions } from "./actions";
import { CancelDialog } from "./CancelDialog";
import { MessageDialog } from "./MessageDialog";

type Actions = ReturnType<typeof useRunActions>;

interface RunControlsProps {
  run: RunDetail;
  actions: Actions;
  onRerun: () => void;
}

/** Message and cancel while the run goes on; rerun and continue afterwards; the rest in a menu. */
export function RunControls({ run, actions, onRerun }: RunControlsProps) {
  const [dialog, setDialog] = useState<"message" | "cancel" | null>(null);
  const isLive = !isFinal(run.status);
  const isCancelling = isLive && (run.cancel !== undefined || actions.cancel.isPending);
  const items: MenuItem[] = [
    {
      label: "Run again",
      icon: <RotateCcw className="icon" aria-hidden="true" />,
      onSelect: onRerun,
      isDisabled: actions.rerun.isPending,
    },
    {
      label: "Continue from the last step",
      icon: <StepForward className="icon" aria-hidden="true" />,
      onSelect: () => actions.resume.mutate(),
      isDisabled: run.status !== "ERROR" || actions.resume.isPending,
    },
    {
      label: "Fork the session",
      icon: <GitFork className="icon" aria-hidden="true" />,
      onSelect: () => actions.fork.mutate(componentOf(run)),
      isDisabled: isLive || actions.fork.isPending,
    },
    {
      label: "Export as JSON",
      icon: <Download className="icon" aria-hidden="true" />,
      onSelect: () => actions.export.mutate(),
      isDisabled: actions.export.isPending,
    },
    {
      label: "Copy link",
      icon: <LinkIcon className="icon" aria-hidden="true" />,
      onSelect: () => void copyText(window.location.href),
    },
  ];
  return (
    <div className="run-actions">
      {isLive ? (
        <>
          <Button onClick={() => setDialog("message")}>
            <MessageSquarePlus className="icon" aria-hidden="true" />
            Message
          </Button>
          <Button kind="danger" disabled={isCancelling} onClick={() => setDialog("cancel")}>
            <Square className="icon-small" aria-hidden="true" />
            {isCancelling ? "Cancelling" : "Cancel"}
          </Button>
        </>
      ) : run.status === "ERROR" ? null : (
        <Button disabled={actions.rerun.isPending} onClick={onRerun}>
          <RotateCcw className="icon" aria-hidden="true" />
          Run again
        </Button>
      )}
      <Menu label="More actions" icon={<Ellipsis className="icon" aria-hidden="true" />} items={items} />
      {dialog === "message" ? <MessageDialog run={run} actions={actions} onClose={() => setDialog(null)} /> : null}
      {dialog === "cancel" ? <CancelDialog run={run} actions={actions} onClose={() => setDialog(null)} /> : null}
    </div>
  );
}
