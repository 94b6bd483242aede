import { type KeyBinding, useKeys } from "../../shared/keyboard";
import { isPending } from "../approval";
import type { Question } from "./useQuestion";

/** Whether a key may decide: the question is open, nothing is typed or sent, and it is known what the call would do. */
function takesKeys({ approval, mode, isSending }: Question): boolean {
  const isReady = isPending(approval) && mode === "decide" && !isSending;
  return isReady && approval.pause_type !== "unknown_outcome";
}

function canApprove({ approval }: Question): boolean {
  return approval.pause_type === "confirmation" || approval.pause_type === "user_input";
}

/**
 * `a` and `r` act on one question.
 *
 * @param current - the question when a key is pressed; null: it is not clear which one is meant.
 * @param isOpen - whether there is a question to decide; otherwise there are no keys for it.
 * @param more - further keys of the question.
 */
export function useQuestionKeys(
  current: () => Question | null,
  isOpen: boolean,
  more: readonly QuestionKey[] = [],
): void {
  const binding = ({ keys, label, isPossible, run }: QuestionKey): KeyBinding => ({
    keys,
    label,
    // Looked up when a key is pressed, because the focus may choose the question.
    get isDisabled() {
      const question = current();
      return question === null || !takesKeys(question) || !isPossible(question);
    },
    run: (event) => {
      const question = current();
      if (question !== null && !event.repeat) run(question); // a key that is held acts once
    },
  });
  useKeys("This question", isOpen ? [...KEYS, ...more].map(binding) : []);
}

export interface QuestionKey {
  keys: string;
  label: string;
  isPossible: (question: Question) => boolean;
  run: (question: Question) => void;
}

const KEYS: readonly QuestionKey[] = [
  { keys: "a", label: "Approve, or send the values", isPossible: canApprove, run: (question) => question.submit() },
  { keys: "r", label: "Reject, with a note", isPossible: () => true, run: (question) => question.setMode("reject") },
];
