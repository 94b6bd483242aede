import { Check, CircleX, Pencil, X } from "lucide-react";
import { type FormEvent, type KeyboardEvent, type ReactNode, useId } from "react";
import { serverNow } from "../../api/serverClock";
import { focusOnMount } from "../../shared/autofocus";
import { Button } from "../../shared/Button";
import { Banner } from "../../shared/PageStates";
import { useNow } from "../../shared/useNow";
import { argumentsOf, callerOf, choicesOf, defaultsOf, stepOf, toolOf } from "../approval";
import { isConflict } from "../queries";
import { Arguments, ValueForm } from "./Arguments";
import { ChoicesForm } from "./Choices";
import { deadlineText, tickSeconds } from "./deadline";
import type { Question } from "./useQuestion";

export interface QuestionFormProps {
  question: Question;
  /** It is the page's own question: there is a key to change values, and on a phone the buttons stay above the tabs. */
  isPage?: boolean;
  /** The buttons show their keys. */
  hasKeys?: boolean;
}

/** What the call would do, and the decision about it. */
export function QuestionForm({ question, isPage = false, hasKeys = isPage }: QuestionFormProps) {
  const { approval } = question;
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    question.submit();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape" && question.mode !== "decide") question.setMode("decide");
    else if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && isSending(event.target)) question.submit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const error = isConflict(question.error) ? null : question.error;
  return (
    <form ref={question.form} className="question-stack" noValidate onSubmit={onSubmit} onKeyDown={onKeyDown}>
      {approval.pause_type === "unknown_outcome" ? <Interrupted question={question} /> : null}
      <Values question={question} />
      <ResultField question={question} />
      <NoteField question={question} />
      {error ? (
        <div role="alert">
          <Banner tone="fail" icon={CircleX}>
            {error.message}
          </Banner>
        </div>
      ) : null}
      <Actions question={question} isPage={isPage} hasKeys={hasKeys} />
      <Deadline question={question} />
    </form>
  );
}

/** Whether the focus is on what is sent; the other buttons do their own. */
function isSending(target: EventTarget): boolean {
  return target instanceof Element && target.closest("input,select,textarea,[type=submit]") !== null;
}

function Interrupted({ question }: { question: Question }) {
  return (
    <p className="text-ink-2">
      The call of <code>{toolOf(question.approval)}</code> was interrupted before its result was stored. It may have
      happened. Check, then say what the run should do.
    </p>
  );
}

function Values({ question }: { question: Question }) {
  const { approval } = question;
  if (approval.pause_type === "user_input") {
    const input = stepOf(approval) === undefined ? {} : argumentsOf(approval);
    return (
      <>
        {Object.keys(input).length > 0 ? <Arguments args={input} /> : null}
        {choicesOf(approval) === null ? <ValueForm question={question} /> : <ChoicesForm question={question} />}
      </>
    );
  }
  if (question.mode === "change") return <ValueForm question={question} />;
  return <Arguments args={argumentsOf(approval)} defaults={defaultsOf(approval)} />;
}

function ResultField({ question }: { question: Question }) {
  const isAlways = question.approval.pause_type === "external_execution" && question.mode === "decide";
  if (question.mode !== "result" && !isAlways) return null;
  const caller = callerOf(question.approval);
  return (
    <TextField
      label="Result"
      hint={`${caller} reads it as the result of the call`}
      text={question.result}
      onText={question.setResult}
      problem={question.problems.result}
      isFocused={!isAlways}
      placeholder="What the call returned"
    />
  );
}

function NoteField({ question }: { question: Question }) {
  if (question.mode !== "reject") return null;
  return (
    <TextField
      label="Note"
      hint={`${callerOf(question.approval)} reads it; you can leave it empty`}
      text={question.note}
      onText={question.setNote}
      isFocused
      placeholder="Why not, or what to do instead"
    />
  );
}

interface TextFieldProps {
  label: string;
  hint: string;
  text: string;
  onText: (text: string) => void;
  problem?: string | undefined;
  isFocused: boolean;
  placeholder: string;
}

function TextField({ label, hint, text, onText, problem, isFocused, placeholder }: TextFieldProps) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="mb-2 block text-meta font-semibold text-ink-2">
        {label} <span className="font-normal text-ink-3">{hint}</span>
      </label>
      <textarea
        id={id}
        className="input"
        rows={2}
        value={text}
        placeholder={placeholder}
        aria-invalid={problem !== undefined}
        aria-describedby={problem ? `${id}-problem` : undefined}
        ref={isFocused ? focusOnMount : undefined}
        onChange={(event) => onText(event.target.value)}
      />
      {problem ? (
        <p className="field-problem" id={`${id}-problem`}>
          {problem}
        </p>
      ) : null}
    </div>
  );
}

function Actions(props: Required<QuestionFormProps>) {
  const { question, isPage } = props;
  return (
    <div className={isPage ? "question-actions sticky-actions" : "question-actions"}>
      {question.mode === "decide" ? <Choices {...props} /> : <SendOrBack question={question} />}
    </div>
  );
}

function Choices({ question, isPage, hasKeys }: Required<QuestionFormProps>) {
  const { approval, isSending: isBusy } = question;
  const isRetry = Boolean(stepOf(approval)?.error_message);
  const key = (letter: string): { shortcut?: string } => (hasKeys ? { shortcut: letter } : {});
  const reject = (words: string, shortcut = key("R")) => (
    <Button data-mode="reject" disabled={isBusy} onClick={() => question.setMode("reject")} {...shortcut}>
      <X className="icon" aria-hidden="true" />
      {words}…
    </Button>
  );
  switch (approval.pause_type) {
    case "unknown_outcome":
      return (
        <>
          <Button data-mode="result" disabled={isBusy} onClick={() => question.setMode("result")}>
            It happened…
          </Button>
          <Button disabled={isBusy} onClick={question.approve}>
            Make the call again
          </Button>
          {reject("Do not make it", {})}
        </>
      );
    case "user_input":
      return (
        <>
          <Send isBusy={isBusy} {...key("A")}>
            Send
          </Send>
          {reject("Reject")}
        </>
      );
    case "external_execution":
      return (
        <>
          <Send isBusy={isBusy}>Send result</Send>
          {reject("Reject")}
        </>
      );
    default:
      return (
        <>
          <Send isBusy={isBusy} {...key("A")}>
            {isRetry ? "Try again" : "Approve"}
          </Send>
          {reject(isRetry ? "Skip it" : "Reject")}
          {question.canChange ? <ChangeButton question={question} isPage={isPage} /> : null}
        </>
      );
  }
}

function ChangeButton({ question, isPage }: { question: Question; isPage: boolean }) {
  const shortcut = isPage ? { shortcut: "E" } : {};
  return (
    <Button
      kind="quiet"
      className={isPage ? "btn-change" : undefined}
      data-mode="change"
      disabled={question.isSending}
      onClick={() => question.setMode("change")}
      {...shortcut}
    >
      <Pencil className="icon" aria-hidden="true" />
      <span>Change values</span>
    </Button>
  );
}

function SendOrBack({ question }: { question: Question }) {
  const words = { reject: "Reject", change: "Approve with these values", result: "Send result", decide: "" };
  return (
    <>
      <Send isBusy={question.isSending} icon={question.mode === "reject" ? "x" : "check"}>
        {words[question.mode]}
      </Send>
      <Button disabled={question.isSending} onClick={() => question.setMode("decide")}>
        Back
      </Button>
    </>
  );
}

interface SendProps {
  isBusy: boolean;
  icon?: "check" | "x";
  shortcut?: string;
  children: ReactNode;
}

function Send({ isBusy, icon = "check", children, ...rest }: SendProps) {
  const Icon = icon === "x" ? X : Check;
  return (
    <Button kind="primary" type="submit" disabled={isBusy} {...rest}>
      <Icon className="icon" aria-hidden="true" />
      {isBusy ? "Sending" : children}
    </Button>
  );
}

function Deadline({ question }: { question: Question }) {
  const now = useNow(true, tickSeconds([question.approval], serverNow()));
  const text = deadlineText(question.approval, now);
  return text === null ? null : <p className="text-ink-3">{text}</p>;
}
