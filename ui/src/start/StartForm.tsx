import { useQuery } from "@tanstack/react-query";
import { ChevronRight, Terminal } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useLayoutEffect, useRef, useState } from "react";
import { apiUrl } from "../api/client";
import { meQuery } from "../api/queries";
import { leadTo } from "../app/followUp";
import { Button } from "../shared/Button";
import { useDraft } from "../shared/drafts";
import { SUBMIT_KEYS } from "../shared/keyboard";
import { type Component, componentKey } from "../teams/component";
import { useWorkflow } from "../teams/queries";
import { takesJsonMessages } from "../teams/workflow";
import { CurlDialog } from "./CurlDialog";
import { curlCommand } from "./curl";
import { FilePicker } from "./FilePicker";
import { ArgumentField, OnBusyField, SessionField, TextField } from "./fields";
import { argumentTexts, outlineOf, parametersOf, readArguments } from "./parameters";
import {
  EMPTY_FORM,
  type StartForm as Form,
  type FormField,
  type Problems,
  problemsOf,
  type RunTarget,
  runsPath,
} from "./startRequest";
import { useStart } from "./useStart";

export interface StartFormProps {
  target: RunTarget;
  component: Component;
  /** Names what is typed, which outlives the form until it is sent. */
  draftKey: string;
  /** What is filled in. */
  initial?: Partial<Form> | undefined;
  onStarted?: () => void;
  isFocused?: boolean;
}

/** Starts a run of one team, agent or workflow, which may change. */
export function StartForm({ target, component, draftKey, initial, onStarted, isFocused = false }: StartFormProps) {
  const [empty] = useState<Form>({ ...EMPTY_FORM, ...initial });
  const [form, setForm] = useDraft(draftKey, empty);
  const [problems, setProblems] = useState<Problems>({});
  const [argumentProblems, setArgumentProblems] = useState<Record<string, string>>({});
  const [curl, setCurl] = useState<string | null>(null);
  const element = useRef<HTMLFormElement>(null);
  const me = useQuery(meQuery);
  const start = useStart({
    onStarted: (run, sent, origin) => {
      setForm((typed) => (typed === sent ? empty : typed));
      if (origin.isHere()) onStarted?.();
      leadTo(`/runs/${encodeURIComponent(run.run_id)}`, "The run has started.", origin);
    },
  });
  const workflow = useWorkflow(target.kind === "workflow" ? target.id : null).data;
  const takesJson = workflow === undefined ? (component.input_schema ?? null) !== null : takesJsonMessages(workflow);
  const parameters = parametersOf(workflow);
  const set = (change: Partial<Form>) => setForm((before) => ({ ...before, ...change }));
  // What is typed stays for another team, agent or workflow, but not its own fields and what was wrong.
  const key = componentKey(target.kind, target.id);
  const shownKey = useRef(key);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another target leaves these behind
  useLayoutEffect(() => {
    if (shownKey.current === key) return; // a draft that is shown again is whole
    shownKey.current = key;
    set({ arguments: {} });
    setProblems({});
    setArgumentProblems({});
    start.reset();
  }, [key]);

  const submit = () => {
    if (start.isPending) return;
    const wrong = problemsOf(form, takesJson);
    const entered = readArguments(parameters, form.arguments);
    setProblems(wrong);
    setArgumentProblems(entered.problems);
    if (Object.keys({ ...wrong, ...entered.problems }).length > 0) {
      queueMicrotask(() => {
        const first = element.current?.querySelector<HTMLElement>("[aria-invalid=true]");
        const details = first?.closest("details");
        if (details) details.open = true;
        first?.focus();
      });
    } else start.mutate({ target, form, values: entered.values });
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    submit();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || !(event.metaKey || event.ctrlKey)) return;
    event.preventDefault();
    submit();
  };
  const field = (name: FormField) => ({ name, form, problems, set });
  return (
    <form ref={element} className="start-form" noValidate onSubmit={onSubmit} onKeyDown={onKeyDown}>
      <TextField
        {...field("message")}
        label={takesJson ? `Input for ${component.name} as JSON` : `What should ${component.name} do?`}
        placeholder={takesJson ? outlineOf((workflow ?? component).input_schema) : undefined}
        isLong
        isFocused={isFocused}
      />
      {parameters.map((parameter) => (
        <ArgumentField
          key={parameter.name}
          parameter={parameter}
          text={argumentTexts(parameters, form.arguments)[parameter.name] ?? ""}
          problem={argumentProblems[parameter.name]}
          onText={(text) => set({ arguments: { ...form.arguments, [parameter.name]: text } })}
        />
      ))}
      <FilePicker files={form.files} onFiles={(files) => set({ files })} />
      <div className="start-pair">
        <SessionField {...field("sessionId")} />
        {me.data?.user_id ? null : <TextField {...field("userId")} label="User" placeholder="None" />}
      </div>
      <OnBusyField value={form.onBusy} onValue={(onBusy) => set({ onBusy })} />
      <details>
        <summary>
          <ChevronRight className="icon-small" aria-hidden="true" />
          Priority, delay, time limit, budget
        </summary>
        <div className="start-pair mt-2">
          <TextField {...field("priority")} label="Priority" placeholder="0" isNumber />
          <TextField {...field("delaySeconds")} label="Delay in seconds" placeholder="0" isNumber />
          <TextField {...field("timeoutSeconds")} label="Time limit in seconds" placeholder="None" isNumber />
          <TextField {...field("budgetCost")} label="Budget in US dollars" placeholder="None" isNumber />
          <TextField {...field("budgetTokens")} label="Budget in tokens" placeholder="None" isNumber />
          <TextField {...field("budgetSeconds")} label="Budget in seconds" placeholder="None" isNumber />
          <TextField {...field("budgetToolCalls")} label="Budget in tool calls" placeholder="None" isNumber />
        </div>
      </details>
      {start.error ? (
        <p className="field-problem" role="alert">
          {start.error.message}
        </p>
      ) : null}
      <div className="flex gap-2">
        <Button kind="primary" type="submit" className="flex-1" shortcut={SUBMIT_KEYS} disabled={start.isPending}>
          {start.isPending ? "Starting" : "Start"}
        </Button>
        <Button
          className="only-desk"
          onClick={() => {
            const { values } = readArguments(parameters, form.arguments);
            setCurl(curlCommand(apiUrl(runsPath(target)), form, me.data?.auth_required ?? true, values));
          }}
        >
          <Terminal className="icon" aria-hidden="true" />
          Copy as curl
        </Button>
      </div>
      {curl === null ? null : (
        <CurlDialog command={curl} hasFiles={form.files.length > 0} onClose={() => setCurl(null)} />
      )}
    </form>
  );
}
