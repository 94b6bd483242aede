/** The fields of the form that starts a run. */
import { useId } from "react";
import { useSessionList } from "../sessions/queries";
import { ALL_SESSIONS } from "../sessions/session";
import { markAutofocus } from "../shared/autofocus";
import type { Parameter } from "./parameters";
import type { StartForm as Form, FormField, OnBusy, Problems } from "./startRequest";

const ON_BUSY: [OnBusy, string, string][] = [
  ["enqueue", "Wait", "The run waits until the session is free."],
  ["reject", "Refuse", "The run is refused if another run of the session is active."],
  ["interrupt", "Interrupt", "The active run is cancelled, and this one goes next."],
  ["parallel", "In parallel", "The run starts beside the active one."],
];

/** The dialog may be open already, if the teams were loaded after it. */
function focusInDialog(element: HTMLElement | null): void {
  markAutofocus(element);
  element?.focus();
}

interface FieldProps {
  name: FormField;
  form: Form;
  problems: Problems;
  set: (change: Partial<Form>) => void;
}

interface TextFieldProps extends FieldProps {
  label: string;
  placeholder?: string | undefined;
  isLong?: boolean;
  isNumber?: boolean;
  isFocused?: boolean;
}

export function TextField({
  name,
  form,
  problems,
  set,
  label,
  placeholder,
  isLong,
  isNumber,
  isFocused,
}: TextFieldProps) {
  const id = useId();
  const problem = problems[name];
  const props = {
    id,
    value: form[name],
    placeholder,
    "aria-invalid": problem !== undefined,
    "aria-describedby": problem === undefined ? undefined : `${id}-problem`,
    onChange: (event: { target: { value: string } }) => set({ [name]: event.target.value }),
  };
  return (
    <div className="field">
      <span>
        <label htmlFor={id}>{label}</label>
      </span>
      {isLong ? (
        <textarea className="input start-message" rows={5} ref={isFocused ? focusInDialog : undefined} {...props} />
      ) : (
        <input className="input" autoComplete="off" inputMode={isNumber ? "decimal" : undefined} {...props} />
      )}
      {problem === undefined ? null : (
        <p className="field-problem" id={`${id}-problem`}>
          {problem}
        </p>
      )}
    </div>
  );
}

interface ArgumentFieldProps {
  parameter: Parameter;
  text: string;
  problem: string | undefined;
  onText: (text: string) => void;
}

/** An argument of a function that is a workflow. */
export function ArgumentField({ parameter, text, problem, onText }: ArgumentFieldProps) {
  const id = useId();
  const props = {
    id,
    value: text,
    "aria-required": parameter.isRequired,
    "aria-invalid": problem !== undefined,
    "aria-describedby": `${id}-help`,
    onChange: (event: { target: { value: string } }) => onText(event.target.value),
  };
  const isNumber = parameter.type === "int" || parameter.type === "float";
  const { isRequired } = parameter;
  return (
    <div className="field">
      <span>
        <label htmlFor={id}>{parameter.name}</label>
      </span>
      {parameter.options ? (
        <select className="input" {...props}>
          {parameter.value === null ? <option value="">{isRequired ? "Choose" : "None"}</option> : null}
          {parameter.options.map(String).map((option) => (
            <option key={option} value={option}>
              {option}
            </option>
          ))}
        </select>
      ) : (
        <input
          className="input"
          autoComplete="off"
          inputMode={isNumber ? "decimal" : undefined}
          placeholder={isRequired || parameter.value !== null ? undefined : "None"}
          {...props}
        />
      )}
      <div id={`${id}-help`}>
        {problem === undefined ? null : <p className="field-problem">{problem}</p>}
        {parameter.description === null ? null : <p className="field-help">{parameter.description}</p>}
      </div>
    </div>
  );
}

/** The session's id: one of the last ones, or any other. */
export function SessionField({ name, form, set }: FieldProps) {
  const id = useId();
  const list = useSessionList(ALL_SESSIONS);
  const sessions = list.data?.pages[0]?.data ?? [];
  return (
    <div className="field">
      <span>
        <label htmlFor={id}>Session</label>
      </span>
      <input
        id={id}
        className="input"
        list={`${id}-list`}
        autoComplete="off"
        placeholder="New session"
        value={form[name]}
        onChange={(event) => set({ sessionId: event.target.value })}
      />
      <datalist id={`${id}-list`}>
        {sessions.map((session) => (
          <option key={session.session_id} value={session.session_id} label={session.session_name} />
        ))}
      </datalist>
    </div>
  );
}

export function OnBusyField({ value, onValue }: { value: OnBusy; onValue: (value: OnBusy) => void }) {
  const id = useId();
  return (
    <div className="field">
      <span id={id}>If the session is busy</span>
      {/* biome-ignore lint/a11y/useSemanticElements: the buttons look and work like the other switches of the page */}
      <div className="segmented" role="group" aria-labelledby={id}>
        {ON_BUSY.map(([choice, label]) => (
          <button key={choice} type="button" aria-pressed={choice === value} onClick={() => onValue(choice)}>
            {label}
          </button>
        ))}
      </div>
      <p className="field-help">{ON_BUSY.find(([choice]) => choice === value)?.[2]}</p>
    </div>
  );
}
