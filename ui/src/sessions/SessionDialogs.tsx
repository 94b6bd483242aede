import { type FormEvent, type ReactNode, useId, useState } from "react";
import type { JsonObject } from "../approvals/approval";
import { isObject, parseJson } from "../approvals/question/values";
import { markAutofocus } from "../shared/autofocus";
import { Button } from "../shared/Button";
import { Dialog } from "../shared/Dialog";
import { useChangeState, useDeleteSession, useRename } from "./queries";
import type { SessionDetail } from "./session";

export interface SessionDialogProps {
  session: SessionDetail;
  onClose: () => void;
}

export function RenameDialog({ session, onClose }: SessionDialogProps) {
  const rename = useRename(session.session_id);
  const [name, setName] = useState(session.session_name);
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    rename.mutate(name.trim(), { onSuccess: onClose });
  };
  return (
    <Dialog title="Rename session" onClose={onClose}>
      <form className="card-body" onSubmit={onSubmit}>
        <label className="field">
          <span>Name</span>
          <input
            className="input"
            ref={markAutofocus}
            value={name}
            maxLength={255}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <Problem error={rename.error} />
        <Buttons onClose={onClose}>
          <Button kind="primary" type="submit" disabled={rename.isPending}>
            Rename
          </Button>
        </Buttons>
      </form>
    </Dialog>
  );
}

export function DeleteDialog({ session, onClose }: SessionDialogProps) {
  const remove = useDeleteSession(session.session_id);
  return (
    <Dialog title="Delete session" onClose={onClose}>
      <div className="card-body">
        <p>
          This deletes <b className="font-semibold">{session.session_name || session.session_id}</b> with all its runs,
          events and files. Runs in progress are cancelled. It cannot be undone.
        </p>
        <Problem error={remove.error} />
        <Buttons onClose={onClose}>
          <Button kind="danger" disabled={remove.isPending} onClick={() => remove.mutate()}>
            Delete
          </Button>
        </Buttons>
      </div>
    </Dialog>
  );
}

export function StateDialog({ session, onClose }: SessionDialogProps) {
  const change = useChangeState(session.session_id);
  const [text, setText] = useState(() => JSON.stringify(session.session_state ?? {}, null, 2));
  const [problem, setProblem] = useState<string | null>(null);
  const id = useId();
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    const result = parseJson(text, isObject, "Enter a JSON object.");
    if ("problem" in result) return setProblem(result.problem);
    setProblem(null);
    change.mutate(result.value as JsonObject, { onSuccess: onClose });
  };
  return (
    <Dialog title="Session state" onClose={onClose}>
      <form className="card-body" onSubmit={onSubmit}>
        <label htmlFor={id} className="mb-2 block text-ink-2">
          Runs of this session read it. A run in progress writes only the keys that it changes.
        </label>
        <textarea
          id={id}
          className="input font-mono"
          rows={14}
          spellCheck={false}
          ref={markAutofocus}
          value={text}
          aria-invalid={problem !== null}
          onChange={(event) => setText(event.target.value)}
        />
        {problem ? <p className="field-problem">{problem}</p> : null}
        <Problem error={change.error} />
        <Buttons onClose={onClose}>
          <Button kind="primary" type="submit" disabled={change.isPending}>
            Save
          </Button>
        </Buttons>
      </form>
    </Dialog>
  );
}

function Buttons({ onClose, children }: { onClose: () => void; children: ReactNode }) {
  return (
    <div className="mt-4 flex gap-2">
      {children}
      <Button onClick={onClose}>Cancel</Button>
    </div>
  );
}

function Problem({ error }: { error: Error | null }) {
  if (error === null) return null;
  return (
    <p className="field-problem" role="alert">
      {error.message}
    </p>
  );
}
