import { CircleCheck } from "lucide-react";
import { CodeBlock, CopyButton } from "../../shared/CodeBlock";
import { Markdown } from "../../shared/Markdown";
import type { RunDetail } from "../model/types";

/** The answer of a run that has completed. */
export function AnswerCard({ run }: { run: RunDetail }) {
  const { content } = run;
  if (run.status !== "COMPLETED" || content === undefined || content === null || content === "") return null;
  const isText = typeof content === "string";
  return (
    <section className="panel answer-card" aria-label="Answer">
      <div className="card-head">
        <span className="status" data-tone="ok">
          <CircleCheck className="icon" aria-hidden="true" />
        </span>
        <h2>Answer</h2>
        <span className="ml-auto">
          <CopyButton text={() => (isText ? content : JSON.stringify(content, null, 2))} label="Copy the answer" />
        </span>
      </div>
      <div className="card-body">
        {isText ? <Markdown text={content} /> : <CodeBlock value={content} label="Answer" />}
      </div>
    </section>
  );
}
