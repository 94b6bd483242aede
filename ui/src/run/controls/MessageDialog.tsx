import { type FormEvent, useState } from "react";
import { useIsMounted } from "../../app/followUp";
import { markAutofocus } from "../../shared/autofocus";
import { Button } from "../../shared/Button";
import { Dialog } from "../../shared/Dialog";
import { componentName, isFinal, type RunDetail } from "../model/types";
import type { useRunActions } from "./actions";

interface MessageDialogProps {
  run: RunDetail;
  actions: ReturnType<typeof useRunActions>;
  onClose: () => void;
}

/** A further message of the user to a run that goes on; its next model call reads it. */
export function MessageDialog({ run, actions, onClose }: MessageDialogProps) {
  const [text, setText] = useState("");
  const [member, setMember] = useState("");
  const members = run.members.filter((one) => !isFinal(one.status));
  const { message } = actions;
  const isMounted = useIsMounted(); // another dialog may be open when the answer comes
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() === "" || message.isPending) return;
    message.mutate({ text, memberRunId: member === "" ? null : member }, { onSuccess: () => isMounted() && onClose() });
  };
  return (
    <Dialog title="Send a message to this run" onClose={onClose}>
      <form className="card-body grid gap-3" onSubmit={submit}>
        {members.length > 0 ? (
          <label className="field">
            <span>To</span>
            <select className="input" value={member} onChange={(event) => setMember(event.target.value)}>
              <option value="">{componentName(run)}</option>
              {members.map((one) => (
                <option key={one.run_id} value={one.run_id}>
                  {one.name ?? one.component_id}
                </option>
              ))}
            </select>
          </label>
        ) : null}
        <label className="field">
          <span>Message</span>
          <textarea
            className="input"
            rows={4}
            value={text}
            ref={markAutofocus}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
            }}
          />
        </label>
        <p className="text-ink-3">
          The next model call reads the message. If the run finishes first, the message starts the session's next run.
        </p>
        {message.isError ? (
          <p role="alert" className="text-fail">
            {message.error.message}
          </p>
        ) : null}
        <div className="flex gap-2">
          <Button kind="primary" type="submit" disabled={text.trim() === "" || message.isPending}>
            Send
          </Button>
          <Button onClick={onClose}>Close</Button>
        </div>
      </form>
    </Dialog>
  );
}
