import type { Approval } from "../approval";
import { questionOf } from "./wording";

/** The question as a sentence, with the tool's name set as code. */
export function QuestionTitle({ approval }: { approval: Approval }) {
  const { before, tool, after } = questionOf(approval);
  return (
    <span className="question-title">
      {before}
      {tool ? <code>{tool}</code> : null}
      {after}
    </span>
  );
}
