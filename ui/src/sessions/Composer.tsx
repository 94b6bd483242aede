import { ArrowUp, Paperclip } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useRef } from "react";
import { useStartRun } from "../app/startContext";
import { Button } from "../shared/Button";
import { useDraft } from "../shared/drafts";
import { FileRows, HiddenInput } from "../start/FilePicker";
import { EMPTY_FORM, type RunTarget } from "../start/startRequest";
import { useStart } from "../start/useStart";
import { componentKey, isServed } from "../teams/component";
import { useDirectory } from "../teams/queries";
import { ownerOf, type SessionDetail } from "./session";

/** Writes the next message of a session: a new run. */
export function Composer({ session, isBusy }: { session: SessionDetail; isBusy: boolean }) {
  const { directory } = useDirectory();
  const target = ownerOf(session);
  if (target === null) return <FirstRun session={session} />;
  const component = directory?.byKey.get(componentKey(target.kind, target.id))?.component;
  if (directory !== undefined && !isServed(directory, target.kind, target.id)) {
    return (
      <p className="composer text-center text-ink-3">
        <code>{target.id}</code> is not declared here any more, so this session cannot continue.
      </p>
    );
  }
  return <Form session={session} target={target} name={component?.name ?? target.id} isBusy={isBusy} />;
}

/** The way to the first run of a session that no team, agent or workflow has used yet. */
function FirstRun({ session }: { session: SessionDetail }) {
  const startRun = useStartRun();
  const { session_id: sessionId, user_id: userId } = session;
  return (
    <div className="composer text-center text-ink-3">
      <p className="mb-2">The first run decides which team, agent or workflow answers in this session.</p>
      <Button onClick={() => startRun(null, { sessionId, userId: userId ?? "" })}>Start the first run</Button>
    </div>
  );
}

interface Draft {
  message: string;
  files: readonly File[];
}

const NOTHING: Draft = { message: "", files: [] };

interface FormProps {
  session: SessionDetail;
  target: RunTarget;
  name: string;
  isBusy: boolean;
}

function Form({ session, target, name, isBusy }: FormProps) {
  const [{ message, files }, setDraft] = useDraft(`message ${session.session_id}`, NOTHING);
  const setFiles = (next: readonly File[]) => setDraft((before) => ({ ...before, files: next }));
  const input = useRef<HTMLInputElement>(null);
  const start = useStart({
    onFailed: (unsent) =>
      setDraft((typed) => ({
        message: typed.message === "" ? unsent.message : `${unsent.message}\n${typed.message}`,
        files: [...unsent.files, ...typed.files],
      })),
  });
  const send = () => {
    if (message.trim() === "" || start.isPending) return;
    const userId = session.user_id ?? "";
    const form = { ...EMPTY_FORM, message, files, userId, sessionId: session.session_id };
    setDraft(() => NOTHING);
    start.mutate({ target, form });
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    send();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  };
  return (
    <form className="composer" onSubmit={onSubmit}>
      <div className="composer-box">
        <textarea
          rows={1}
          value={message}
          placeholder={`Message ${name}`}
          aria-label={`Message ${name}`}
          onChange={(event) => setDraft((before) => ({ ...before, message: event.target.value }))}
          onKeyDown={onKeyDown}
        />
        <FileRows files={files} onFiles={setFiles} />
        {start.error ? (
          <p className="field-problem px-1" role="alert">
            {start.error.message}
          </p>
        ) : null}
        <div className="composer-row">
          <Button kind="quiet" isIcon aria-label="Attach files" onClick={() => input.current?.click()}>
            <Paperclip className="icon" aria-hidden="true" />
          </Button>
          <HiddenInput inputRef={input} onFiles={(chosen) => setFiles([...files, ...chosen])} />
          {isBusy ? (
            <span className="text-meta text-ink-3">A run is in progress. Your message will start the next one.</span>
          ) : null}
          <Button
            kind="primary"
            isIcon
            type="submit"
            className="ml-auto"
            aria-label="Send"
            disabled={start.isPending || message.trim() === ""}
          >
            <ArrowUp className="icon" aria-hidden="true" />
          </Button>
        </div>
      </div>
    </form>
  );
}
