import "../../shared/parts.css";
import "../approvals.css";
import { Hand } from "lucide-react";
import { Link } from "wouter";
import { type Approval, isPending } from "../approval";
import { Decided } from "./Decided";
import { QuestionForm } from "./QuestionForm";
import { QuestionTitle } from "./QuestionTitle";
import { useQuestion } from "./useQuestion";

/** One question as a card, for the page of its run. Give it the approval's id as its key. */
export function QuestionCard({ approval }: { approval: Approval }) {
  const question = useQuestion(approval);
  const isOpen = isPending(approval);
  return (
    <section className={isOpen ? "panel question-card" : "panel"} aria-label="Question for you">
      <div className="card-head">
        {isOpen ? <Hand className="icon" aria-hidden="true" /> : null}
        <h2 className="min-w-0">
          <QuestionTitle approval={approval} />
        </h2>
        <Link
          href={`/approvals/${encodeURIComponent(approval.id)}`}
          className="only-desk ml-auto flex-none text-meta font-medium"
        >
          Open
        </Link>
      </div>
      <div className="card-body question-stack">
        {approval.tool_description ? <p className="text-ink-2">{approval.tool_description}</p> : null}
        {isOpen ? <QuestionForm question={question} /> : <Decided question={question} />}
      </div>
    </section>
  );
}
