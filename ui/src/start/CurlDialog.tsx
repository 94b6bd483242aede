import { useState } from "react";
import { Button } from "../shared/Button";
import { CodeBlock, copyText } from "../shared/CodeBlock";
import { Dialog } from "../shared/Dialog";

export interface CurlDialogProps {
  command: string;
  hasFiles: boolean;
  onClose: () => void;
}

/** The same start as a command. It names a variable in place of the key. */
export function CurlDialog({ command, hasFiles, onClose }: CurlDialogProps) {
  const [isCopied, setCopied] = useState(false);
  return (
    <Dialog title="Start from a shell" onClose={onClose}>
      <div className="card-body">
        <CodeBlock value={command} label="Command" />
        {command.includes("$MUSTERD_KEY") ? (
          <p className="field-help">
            Set <code>MUSTERD_KEY</code> to your key first.
          </p>
        ) : null}
        {hasFiles ? <p className="field-help">Run it in the folder that has the files.</p> : null}
        <div className="mt-4">
          <Button kind="primary" onClick={() => void copyText(command).then(() => setCopied(true))}>
            {isCopied ? "Copied" : "Copy"}
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
