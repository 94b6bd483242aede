/** Questions for a person, for other pages. */

export type { Approval } from "../approval";
export { isPending } from "../approval";
export { useRunApprovals } from "../queries";
export { QuestionCard, QuestionCards } from "./QuestionCard";
export { decidedBy } from "./wording";
