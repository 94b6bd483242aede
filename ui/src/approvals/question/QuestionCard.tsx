import { Hand } from "lucide-react";
import { useLayoutEffect, useRef } from "react";
import { Link } from "wouter";
import { Duration } from "../../shared/Figures";
import { type Approval, askedAt, isPending } from "../approval";
import { Decided } from "./Decided";
import { QuestionForm } from "./QuestionForm";
import { QuestionTitle } from "./QuestionTitle";
import { type Question, useQuestion } from "./useQuestion";
import { useQuestionKeys } from "./useQuestionKeys";

interface ShownCard {
  element: HTMLElement;
  question: Question;
}

/**
 * All questions of a page as cards, with keys. A key acts on the only card, or on the one with the focus: a question
 * that was decided counts, so that a key meant for it does not decide the next one.
 */
export function QuestionCards({ approvals }: { approvals: readonly Approval[] }) {
  const cards = useRef(new Map<string, ShownCard>());
  useQuestionKeys(() => {
    const shown = [...cards.current.values()];
    const card = shown.length === 1 ? shown[0] : shown.find(({ element }) => element.contains(document.activeElement));
    return card?.question ?? null;
  }, approvals.some(isPending));
  const hasKeys = approvals.length === 1;
  return approvals.map((approval) => (
    <QuestionCard key={approval.id} approval={approval} cards={cards.current} hasKeys={hasKeys} />
  ));
}

interface QuestionCardProps {
  approval: Approval;
  /** The cards that are shown together, by their approvals' ids. */
  cards?: Map<string, ShownCard>;
  /** Keys decide about it wherever the focus is. */
  hasKeys?: boolean;
}

/** One question as a card, for the page of its run. Give it the approval's id as its key. */
export function QuestionCard({ approval, cards, hasKeys = false }: QuestionCardProps) {
  const question = useQuestion(approval);
  const section = useRef<HTMLElement>(null);
  const isOpen = isPending(approval);
  useLayoutEffect(() => {
    if (section.current !== null) cards?.set(approval.id, { element: section.current, question });
    return () => void cards?.delete(approval.id);
  }, [cards, approval.id, question]);
  return (
    <section
      ref={section}
      className={isOpen ? "panel question-card" : "panel"}
      aria-label={isOpen ? "Question for you" : undefined}
      tabIndex={isOpen ? -1 : undefined}
    >
      <div className="card-head">
        {isOpen ? <Hand className="icon" aria-hidden="true" /> : null}
        <h2 className="min-w-0">
          <QuestionTitle approval={approval} />
        </h2>
        <span className="numeric ml-auto flex-none text-meta font-normal">
          {isOpen ? (
            <>
              waiting <Duration from={askedAt(approval)} />
            </>
          ) : null}
        </span>
        <Link
          href={`/approvals/${encodeURIComponent(approval.id)}`}
          className="only-desk flex-none text-meta font-medium"
        >
          Open in Approvals
        </Link>
      </div>
      <div className="card-body question-stack">
        {approval.tool_description ? <p className="text-ink-2">{approval.tool_description}</p> : null}
        {isOpen ? <QuestionForm question={question} hasKeys={hasKeys} /> : <Decided question={question} />}
      </div>
    </section>
  );
}
