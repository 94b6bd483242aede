import { CircleCheck } from "lucide-react";
import { CodeBlock, CopyButton } from "../../shared/CodeBlock";
import { Markdown } from "../../shared/Markdown";
import { Sources } from "../../shared/Sources";
import type { RunDetail } from "../model/types";

/** The answer of a completed run, or the partial text of a cancelled one, with its own and its members' sources. */
export function AnswerCard({ run }: { run: RunDetail }) {
  const { content } = run;
  const isCancelled = run.status === "CANCELLED";
  if ((run.status !== "COMPLETED" && !isCancelled) || content === undefined || content === null || content === "")
    return null;
  const isText = typeof content === "string";
  const title = isCancelled ? "Written before the cancel" : "Answer";
  return (
    <section className="panel answer-card" aria-label={title}>
      <div className="card-head">
        {isCancelled ? null : (
          <span className="status" data-tone="ok">
            <CircleCheck className="icon" aria-hidden="true" />
          </span>
        )}
        <h2>{title}</h2>
        <span className="ml-auto">
          <CopyButton
            text={() => (isText ? content : JSON.stringify(content, null, 2))}
            label={isCancelled ? "Copy the text" : "Copy the answer"}
          />
        </span>
      </div>
      <div className="card-body">
        {isText ? <Markdown text={content} /> : <CodeBlock value={content} label="Answer" />}
        <Sources searches={[...(run.references ?? []), ...(run.member_references ?? [])]} />
      </div>
    </section>
  );
}
