import {
  Ban,
  CircleCheck,
  CircleX,
  Code,
  CornerDownRight,
  Hand,
  ListTree,
  MessageSquare,
  RefreshCw,
  Wrench,
} from "lucide-react";
import { type ReactNode, useState } from "react";
import { CodeBlock } from "../../shared/CodeBlock";
import { Duration } from "../../shared/Figures";
import { Markdown } from "../../shared/Markdown";
import type { Tone } from "../../shared/status";
import { Caret } from "../Caret";
import { parsedJson } from "../details/TextSection";
import type { Entry, ModelCall, Note, NoteKind, ToolCall, WorkflowStep } from "../live/feed";
import { retryText } from "../timeline/describe";
import { type CallFacts, callKey } from "./calls";
import { EntryTime } from "./EntryTime";

interface EntryViewProps {
  entry: Entry;
  /** Whether it says when it was. */
  isTimed: boolean;
  /** The names of the members by their runs. */
  members: ReadonlyMap<string, string>;
  calls: ReadonlyMap<string, CallFacts>;
}

/** One thing that a member did. */
export function EntryView({ entry, isTimed, members, calls }: EntryViewProps) {
  switch (entry.kind) {
    case "model":
      return <ModelText call={entry} isTimed={isTimed} />;
    case "tool":
      return <ToolLine call={entry} members={members} facts={calls.get(callKey(entry.runId, entry.callId))} />;
    case "step":
      return <StepLine step={entry} />;
    case "note":
      return <NoteLine note={entry} isTimed={isTimed} />;
  }
}

function ModelText({ call, isTimed }: { call: ModelCall; isTimed: boolean }) {
  const isOpen = call.endedAt === null;
  return (
    <>
      {isTimed ? (
        <p className="text-meta text-ink-3">
          <EntryTime entry={call} />
        </p>
      ) : null}
      <div className="entry-text">
        {call.reasoning === "" ? null : (
          <details className="entry-reasoning">
            <summary>Reasoning</summary>
            <p className="whitespace-pre-wrap">{call.reasoning}</p>
          </details>
        )}
        <Retries call={call} />
        <Text call={call} isOpen={isOpen} />
      </div>
    </>
  );
}

function Text({ call, isOpen }: { call: ModelCall; isOpen: boolean }) {
  if (call.isVoid) {
    return (
      <>
        {call.text === "" ? null : <del className="prose whitespace-pre-wrap">{call.text}</del>}
        {call.isRetried ? null : (
          <p className="text-meta text-ink-3">
            {call.isCutOff ? "Cut off when the process stopped; made again." : "Withdrawn."}
          </p>
        )}
      </>
    );
  }
  if (call.isError) return <p className="text-fail">The model call failed.</p>;
  if (call.text === "") return isOpen ? <p className="text-ink-3">{waitOf(call)}</p> : null;
  if (!isOpen) return <Markdown text={call.text} />;
  return (
    <p className="prose whitespace-pre-wrap">
      {call.text}
      <Caret />
    </p>
  );
}

function Retries({ call }: { call: ModelCall }) {
  return (
    <>
      {call.retries.map((retry) => (
        <p key={retry.at} className="text-meta text-ink-3">
          {retryText(retry)}
        </p>
      ))}
    </>
  );
}

interface ToolLineProps {
  call: ToolCall;
  members: ReadonlyMap<string, string>;
  /** Undefined until the step of the call is stored. */
  facts: CallFacts | undefined;
}

function ToolLine({ call, members, facts }: ToolLineProps) {
  const [isOpen, setOpen] = useState(false);
  const member = call.childRunId === null ? undefined : members.get(call.childRunId);
  const Icon = member === undefined ? Wrench : CornerDownRight;
  return (
    <details className="tool-card" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Icon className="icon-small" aria-hidden="true" />
        {member === undefined ? <code>{call.name}</code> : <span>{`Asks ${member}`}</span>}
        <span className="truncate text-ink-3">{argumentsLine(call.args, member !== undefined)}</span>
        <span className="tool-card-end">
          <CallOutcome call={call} facts={facts} />
          <span className="numeric">
            <Duration from={facts?.start ?? call.startedAt} to={facts?.end ?? call.endedAt} />
          </span>
        </span>
      </summary>
      {isOpen ? (
        <div className="tool-card-body">
          <h3>Arguments</h3>
          <CodeBlock value={call.args} label="Arguments" />
          {call.progress.length === 0 ? null : <CodeBlock value={call.progress.join("\n")} label="Progress" />}
          {call.result === null ? null : (
            <>
              <h3>Result</h3>
              <CodeBlock value={parsedJson(call.result)} label="Result" />
            </>
          )}
        </div>
      ) : call.endedAt === null && call.progress.length > 0 ? (
        <p>{call.progress.at(-1)}</p>
      ) : null}
    </details>
  );
}

function CallOutcome({ call, facts }: Pick<ToolLineProps, "call" | "facts">) {
  const isOpen = call.endedAt === null;
  const text = facts?.outcome || (call.isError ? "failed" : isOpen ? "running" : "");
  if (text === "") return null;
  const isFailed = facts === undefined ? call.isError : facts.isFailed;
  return <span className={isFailed ? "text-fail" : text === "running" ? "text-run" : "text-ink-3"}>{text}</span>;
}

/** A step of a workflow: a heading above what happens in it, or what its function returned. */
function StepLine({ step }: { step: WorkflowStep }) {
  const [isOpen, setOpen] = useState(false);
  const type = step.type === "LoopIteration" ? "" : step.type;
  if (step.result === null) {
    return (
      <p className="entry-note is-step" data-tone={step.isError ? "fail" : "idle"}>
        <ListTree className="icon-small" aria-hidden="true" />
        <span>
          {type} <b>{step.name}</b>
        </span>
        <span className="numeric text-ink-3">
          <Duration from={step.startedAt} to={step.endedAt} />
        </span>
      </p>
    );
  }
  return (
    <details className="tool-card" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Code className="icon-small" aria-hidden="true" />
        <span className="flex-none">
          {type} <b>{step.name}</b>
        </span>
        <span className="truncate text-ink-3">{step.result}</span>
        <span className="tool-card-end">
          {step.isError ? <span className="text-fail">failed</span> : null}
          <span className="numeric">
            <Duration from={step.startedAt} to={step.endedAt} />
          </span>
        </span>
      </summary>
      {isOpen ? (
        <div className="tool-card-body">
          <CodeBlock value={parsedJson(step.result)} label={step.isError ? "Error" : "Result"} />
        </div>
      ) : null}
    </details>
  );
}

/** The values of a call in one line; a delegation names its member already. */
function argumentsLine(args: Record<string, unknown>, isDelegation: boolean): string {
  return Object.entries(args)
    .filter(([name]) => !(isDelegation && name === "member_id"))
    .map(([, value]) => (typeof value === "string" ? value : JSON.stringify(value)))
    .join(" · ")
    .slice(0, 300);
}

const NOTES: Record<NoteKind, { icon: typeof Hand; tone: Tone; text: (note: Note) => ReactNode }> = {
  message: { icon: MessageSquare, tone: "run", text: (note) => <>Message: {note.text}</> },
  continued: { icon: RefreshCw, tone: "run", text: continuedText },
  paused: { icon: Hand, tone: "wait", text: () => "Waits for a person" },
  failed: { icon: CircleX, tone: "fail", text: (note) => `Failed: ${note.text}` },
  cancelled: { icon: Ban, tone: "idle", text: () => "Cancelled" },
  completed: { icon: CircleCheck, tone: "ok", text: () => "Completed" },
};

function continuedText(note: Note): string {
  return note.text === "decided" ? "Went on after the decision" : "Went on after the process had stopped";
}

function NoteLine({ note, isTimed }: { note: Note; isTimed: boolean }) {
  const { icon: Icon, tone, text } = NOTES[note.note];
  return (
    <p className="entry-note" data-tone={tone}>
      <Icon className="icon-small" aria-hidden="true" />
      <span>{text(note)}</span>
      {isTimed ? (
        <span className="text-ink-3">
          <EntryTime entry={note} />
        </span>
      ) : null}
    </p>
  );
}

/** What a call does before its answer begins. */
function waitOf({ loading, prompt }: ModelCall): string {
  if (loading?.end === null) return "Loading the model";
  if (prompt !== null && prompt.readTokens < prompt.tokens) {
    return `Reading its prompt, ${prompt.readTokens} of ${prompt.tokens} tokens`;
  }
  return "Thinking";
}
