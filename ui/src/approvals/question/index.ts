/** Questions for a person, for other pages. */

export type { Approval } from "../approval";
export { useRunApprovals } from "../queries";
export { QuestionCard, QuestionCards } from "./QuestionCard";
export { useSeenQuestions } from "./useSeenQuestions";
export { decidedBy } from "./wording";
