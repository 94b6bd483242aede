import { Hand } from "lucide-react";
import { useEffect, useRef } from "react";
import { useLocation } from "wouter";
import { currentPath } from "../app/hashLocation";
import { Button } from "../shared/Button";
import { Duration, Time } from "../shared/Figures";
import { type Approval, askedAt, isPending } from "./approval";
import { OnlyHere } from "./OnlyHere";
import { Outcome } from "./Outcome";
import { Decided } from "./question/Decided";
import { QuestionForm } from "./question/QuestionForm";
import { QuestionTitle } from "./question/QuestionTitle";
import { useQuestion } from "./question/useQuestion";
import { type QuestionKey, useQuestionKeys } from "./question/useQuestionKeys";
import { Story } from "./Story";

/** One approval: the question or the decision, and what led to it. */
export function ApprovalView({ approval, next }: { approval: Approval; next: Approval | undefined }) {
  const question = useQuestion(approval);
  const isOpen = isPending(approval);
  const decision = useDecisionFocus(isOpen, question.sent !== null);
  useQuestionKeys(() => (isSelected(approval) ? question : null), isOpen, MORE_KEYS);
  return (
    <div className="question-columns">
      <div className="question-stack">
        <header>
          {isOpen ? (
            <div className="question-head">
              <span className="tag" data-tone="wait">
                <Hand className="icon-small" aria-hidden="true" />
                Needs you
              </span>
              <OnlyHere approval={approval} />
              <span>
                for <Duration from={askedAt(approval)} />
              </span>
            </div>
          ) : (
            <div className="question-head">
              Asked at <Time at={approval.created_at} />
            </div>
          )}
          <h2 className="text-title font-semibold">
            <QuestionTitle approval={approval} />
          </h2>
          {approval.tool_description ? <p className="mt-1 text-ink-2">{approval.tool_description}</p> : null}
        </header>
        {isOpen ? (
          <QuestionForm question={question} isPage />
        ) : (
          <div ref={decision} tabIndex={-1} className="question-stack outline-none">
            <Decided question={question} />
            <Outcome approval={approval} />
          </div>
        )}
        {!isOpen && next !== undefined ? <NextButton next={next} /> : null}
      </div>
      <Story approval={approval} />
    </div>
  );
}

/** A key that is pressed right after `j` must not decide about the question that is still drawn. */
function isSelected(approval: Approval): boolean {
  return currentPath() === placeOf(approval.id);
}

export const placeOf = (id: string) => `/approvals/${encodeURIComponent(id)}`;

function NextButton({ next }: { next: Approval }) {
  const [, navigate] = useLocation();
  return (
    <Button shortcut="U" onClick={() => navigate(placeOf(next.id))}>
      Next question
    </Button>
  );
}

/** The form is gone once its decision is made: the focus goes on to what became of it. */
function useDecisionFocus(isOpen: boolean, hasDecided: boolean) {
  const decision = useRef<HTMLDivElement>(null);
  const wasOpen = useRef(isOpen);
  useEffect(() => {
    const isNew = wasOpen.current && !isOpen;
    if (isNew && hasDecided && document.activeElement === document.body) decision.current?.focus();
    wasOpen.current = isOpen;
  }, [isOpen, hasDecided]);
  return decision;
}

const MORE_KEYS: readonly QuestionKey[] = [
  {
    keys: "e",
    label: "Change values",
    isPossible: (question) => question.canChange,
    run: (question) => question.setMode("change"),
  },
];
