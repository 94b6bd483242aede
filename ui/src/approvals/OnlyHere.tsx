import { type Approval, isPending } from "./approval";

/** Marks a question that the program which started the run cannot answer. */
export function OnlyHere({ approval }: { approval: Approval }) {
  if (approval.approval_type !== "required" || !isPending(approval)) return null;
  return (
    <span className="tag flex-none" title="Decided in Approvals, and not by the program that started the run">
      only here
    </span>
  );
}
