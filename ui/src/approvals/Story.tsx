import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { request, segment } from "../api/client";
import type { RunDetail } from "../api/types";
import { type Approval, callerOf } from "./approval";

/** What led to the question: the person's message, and the task that the leader gave to the member. */
export function Story({ approval }: { approval: Approval }) {
  const run = useQuery({
    queryKey: ["runs", "one", approval.run_id, "summary"],
    queryFn: ({ signal }) =>
      request<RunDetail>(`/runs/${segment(approval.run_id)}`, { query: { view: "summary" }, signal }),
    staleTime: 60_000,
  });
  // For a call of the run itself the task is the person's message, and may be longer than the summary's.
  const input = approval.member_name ? run.data?.input : (approval.task ?? run.data?.input);
  const caller = callerOf(approval);
  const source = approval.source_name ?? "The team";
  const step = approval.step_path ? `?step=${encodeURIComponent(approval.step_path)}` : "";
  return (
    <section className="question-story" aria-labelledby="story">
      <h3 id="story" className="mb-2.5">
        Background
      </h3>
      {input ? <Said who={approval.user_id ?? "User"} text={input} /> : null}
      {approval.member_name && approval.task ? <Said who={`${source} to ${caller}`} text={approval.task} /> : null}
      <p className="mt-3">
        <Link href={`/runs/${encodeURIComponent(approval.run_id)}${step}`} className="text-link">
          Open the run at this step
        </Link>
      </p>
    </section>
  );
}

function Said({ who, text }: { who: string; text: string }) {
  return (
    <div className="said">
      <b>{who}</b> {text}
    </div>
  );
}
