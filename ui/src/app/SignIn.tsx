import { type FormEvent, useId, useState } from "react";
import { signIn } from "../api/auth";
import { ApiError, checkKey } from "../api/client";
import { focusOnMount } from "../shared/autofocus";
import { Button } from "../shared/Button";
import { Dialog } from "../shared/Dialog";
import { Mark } from "./Mark";

/** Asks for the key once; it is kept in this tab only. `isAgain`: the server has refused the key of this tab. */
export function SignIn({ isAgain = false }: { isAgain?: boolean }) {
  if (isAgain) {
    return (
      <Dialog title="The key was not accepted" onClose={() => undefined} isFixed>
        <div className="card-body">
          <p className="mb-3 text-ink-2">Enter a valid key or token. Nothing on the page is lost.</p>
          <KeyForm />
        </div>
      </Dialog>
    );
  }
  return (
    <main className="mx-auto max-w-[420px] px-4 pt-[16vh]">
      <div className="brand mb-5">
        <Mark />
        musterd
      </div>
      <section className="panel p-4">
        <h1 className="mb-3">This server asks for a key</h1>
        <KeyForm />
      </section>
    </main>
  );
}

function KeyForm() {
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState("");
  const [isChecking, setIsChecking] = useState(false);
  const id = useId();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const trimmed = key.trim();
    if (!trimmed || isChecking) return;
    setProblem("");
    setIsChecking(true);
    try {
      // One request first: a page sends many at once, and each counts against the limit of wrong keys.
      await checkKey(trimmed);
      signIn(trimmed);
    } catch (error) {
      setProblem(error instanceof ApiError ? error.message : "The key was not accepted."); // no header can hold it
    } finally {
      setIsChecking(false);
    }
  };
  return (
    <form onSubmit={submit}>
      <label className="field" htmlFor={id}>
        <span>Key or token</span>
      </label>
      <input
        id={id}
        className="input"
        type="password"
        autoComplete="current-password"
        spellCheck={false}
        ref={focusOnMount}
        value={key}
        onChange={(event) => setKey(event.target.value)}
        aria-invalid={problem !== ""}
        aria-describedby={`${id}-problem`}
      />
      <p className="field-problem" id={`${id}-problem`} role="alert">
        {problem}
      </p>
      <div className="mt-3 flex items-center gap-3">
        <Button kind="primary" type="submit" disabled={!key.trim() || isChecking}>
          Sign in
        </Button>
        <span className="text-ink-3">Kept until this tab is closed.</span>
      </div>
    </form>
  );
}
