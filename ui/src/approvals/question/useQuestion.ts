/** The state of one question on the page: what the person does with it, what was typed, and the decision. */
import { type RefObject, useMemo, useRef, useState } from "react";
import { type Approval, choicesOf, type JsonObject } from "../approval";
import { type SentDecision, useResolve } from "../queries";
import type { Decision } from "./decision";
import { argumentFields, type Draft, draftOf, type Field, inputFields, readDraft } from "./values";

/** `reject`, `change` and `result` show a field of their own, and Back leads to `decide`. */
export type Mode = "decide" | "reject" | "change" | "result";

export interface Question extends Omit<SentDecision, "send"> {
  approval: Approval;
  mode: Mode;
  fields: Field[];
  draft: Draft;
  choices: Choices;
  problems: Record<string, string>;
  note: string;
  result: string;
  canChange: boolean;
  setMode: (mode: Mode) => void;
  setValue: (name: string, text: string) => void;
  setChoice: (question: string, labels: string[]) => void;
  setNote: (note: string) => void;
  setResult: (result: string) => void;
  /** Sends what the mode stands for; with missing or wrong values it marks them. */
  submit: () => void;
  approve: () => void;
  form: RefObject<HTMLFormElement | null>;
}

/** The answers that are chosen, by question. */
export type Choices = Record<string, string[]>;

export function useQuestion(approval: Approval): Question {
  const [mode, setMode] = useState<Mode>("decide");
  const isForm = approval.pause_type === "user_input";
  const fields = useMemo(() => (isForm ? inputFields(approval) : argumentFields(approval)), [approval, isForm]);
  const [edits, setEdits] = useState<Draft>({});
  const [choices, setChoices] = useState<Choices>({});
  const [problems, setProblems] = useState<Record<string, string>>({});
  const [note, setNote] = useState("");
  const [result, setResult] = useState("");
  const { send: resolve, ...last } = useResolve(approval);
  const form = useRef<HTMLFormElement>(null);
  const draft = useMemo(() => ({ ...draftOf(fields), ...edits }), [fields, edits]);

  const send = (decision: Decision) => {
    if (last.isSending) return;
    setProblems({});
    resolve(decision);
  };

  const refuse = (wrong: Record<string, string>) => {
    setProblems(wrong);
    queueMicrotask(() => form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus());
  };

  const sendValues = () => {
    const questions = choicesOf(approval);
    if (isForm && questions !== null) {
      const open = questions.filter(({ key }) => (choices[key] ?? []).length === 0);
      if (open.length > 0) return refuse(Object.fromEntries(open.map(({ key }) => [key, "Choose an answer."])));
      return send({ kind: "answer", values: choices as JsonObject });
    }
    const reading = readDraft(fields, draft, { mayBeEmpty: !isForm });
    if (Object.keys(reading.problems).length > 0) return refuse(reading.problems);
    send(isForm ? { kind: "answer", values: reading.values } : { kind: "approve", values: reading.values });
  };

  const submit = () => {
    if (mode === "reject") return send({ kind: "reject", note });
    if (mode === "result" || (mode === "decide" && approval.pause_type === "external_execution")) {
      return result === "" ? refuse({ result: "Enter the result." }) : send({ kind: "result", result });
    }
    if (mode === "change" || isForm) return sendValues();
    send({ kind: "approve" });
  };

  return {
    approval,
    mode,
    fields,
    draft,
    choices,
    problems,
    note,
    result,
    canChange: approval.pause_type === "confirmation" && fields.length > 0,
    ...last,
    setMode: (next) => {
      setProblems({});
      setMode(next);
      // Back leads to the button that was pressed.
      if (next === "decide")
        queueMicrotask(() => form.current?.querySelector<HTMLElement>(`[data-mode=${mode}]`)?.focus());
    },
    setValue: (name, text) => setEdits((before) => ({ ...before, [name]: text })),
    setChoice: (question, labels) => setChoices((before) => ({ ...before, [question]: labels })),
    setNote,
    setResult,
    submit,
    approve: () => send({ kind: "approve" }),
    form,
  };
}
