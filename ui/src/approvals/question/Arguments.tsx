import { type ReactNode, useId } from "react";
import { focusOnMount } from "../../shared/autofocus";
import type { Json, JsonObject } from "../approval";
import type { Question } from "./useQuestion";
import type { Field } from "./values";
import { argumentText } from "./wording";

interface ArgumentsProps {
  args: JsonObject | null;
  /** What the tool takes for arguments that the call leaves out. */
  defaults?: JsonObject;
  /** The earlier values of those that a person changed. */
  replaced?: JsonObject;
}

/** The arguments of a call, as names and values. */
export function Arguments({ args, defaults = {}, replaced = {} }: ArgumentsProps) {
  const given = Object.entries(args ?? {});
  const leftOut = Object.entries(defaults).filter(([name, value]) => value !== null && args?.[name] === undefined);
  if (given.length + leftOut.length === 0) return <p className="text-ink-3">The call has no arguments.</p>;
  return (
    <dl className="arguments">
      {given.map(([name, value]) => (
        <Argument key={name} name={name} value={value}>
          {replaced[name] === undefined ? null : <Was value={replaced[name]} />}
        </Argument>
      ))}
      {leftOut.map(([name, value]) => (
        <Argument key={name} name={name} value={value}>
          <p className="argument-was">Default, because the call leaves it out</p>
        </Argument>
      ))}
    </dl>
  );
}

interface ArgumentProps {
  name: string;
  value: Json;
  children: ReactNode;
}

function Argument({ name, value, children }: ArgumentProps) {
  const isJson = typeof value === "object" && value !== null;
  const text = argumentText(value);
  return (
    <div>
      <dt>{name}</dt>
      <dd className={isJson ? "is-json" : undefined}>
        {text === "" ? <span className="text-ink-3">empty</span> : text}
        {children}
      </dd>
    </div>
  );
}

function Was({ value }: { value: Json }) {
  const text = argumentText(value);
  return <p className="argument-was">{text === "" ? "It was empty" : `It was ${shortText(text)}`}</p>;
}

/** The same table with a field for each value. */
export function ValueForm({ question }: { question: Question }) {
  const id = useId();
  return (
    <div className="arguments">
      {question.fields.map((field, index) => (
        <Entry key={field.name} id={`${id}-${index}`} field={field} question={question} isFirst={index === 0} />
      ))}
    </div>
  );
}

interface EntryProps {
  id: string;
  field: Field;
  question: Question;
  isFirst: boolean;
}

function Entry({ id, field, question, isFirst }: EntryProps) {
  const text = question.draft[field.name] ?? "";
  const problem = question.problems[field.name];
  const isChanging = question.mode === "change";
  const isChanged = isChanging && field.value !== null && text !== argumentText(field.value);
  const helpId = `${id}-help`;
  const props = {
    id,
    "aria-invalid": problem !== undefined,
    "aria-describedby": helpId,
    // The first field takes the focus when a person asked to change the values.
    fieldRef: isFirst && isChanging ? focusOnMount : undefined,
  };
  return (
    <div>
      <label htmlFor={id}>{field.name}</label>
      <div className="argument-entry">
        <Control {...props} field={field} text={text} onText={(value) => question.setValue(field.name, value)} />
        <div id={helpId}>
          {problem ? <p className="field-problem">{problem}</p> : null}
          {field.description ? <p className="field-help">{field.description}</p> : null}
          {isChanged ? <Was value={field.value} /> : null}
          {field.isLeftOut && !isChanged ? <p className="field-help">The call leaves it out.</p> : null}
        </div>
      </div>
    </div>
  );
}

interface ControlProps {
  id: string;
  field: Field;
  text: string;
  onText: (text: string) => void;
  fieldRef: ((element: HTMLElement | null) => void) | undefined;
}

function Control({ field, text, onText, fieldRef, ...rest }: ControlProps) {
  const options = field.options ?? (field.type === "bool" ? [true, false] : null);
  if (options !== null) {
    return (
      <select className="input" ref={fieldRef} value={text} onChange={(event) => onText(event.target.value)} {...rest}>
        {field.value === null ? <option value="">{field.mayBeEmpty ? "None" : "Choose"}</option> : null}
        {options.map(argumentText).map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    );
  }
  const isCode = field.type === "list" || field.type === "dict" || field.type === "json";
  const rows = Math.min(10, Math.max(isCode ? 3 : 1, text.split("\n").length, Math.ceil(text.length / 60)));
  if (rows > 1 || isCode) {
    return (
      <textarea
        ref={fieldRef}
        className={isCode ? "input font-mono" : "input"}
        rows={rows}
        value={text}
        onChange={(event) => onText(event.target.value)}
        {...rest}
      />
    );
  }
  const isNumber = field.type === "int" || field.type === "float";
  return (
    <input
      ref={fieldRef}
      className="input"
      type="text"
      inputMode={isNumber ? "decimal" : undefined}
      autoComplete="off"
      value={text}
      onChange={(event) => onText(event.target.value)}
      {...rest}
    />
  );
}

function shortText(text: string): string {
  return text.length <= 120 ? text : `${text.slice(0, 119)}…`;
}
