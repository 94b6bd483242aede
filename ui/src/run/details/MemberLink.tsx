import { Link } from "wouter";
import type { MemberRun, RunDetail } from "../model/types";

interface MemberLinkProps {
  run: RunDetail;
  member: Pick<MemberRun, "run_id" | "name" | "component_id">;
}

/** The name of a member, with a link to what it did. */
export function MemberLink({ run, member }: MemberLinkProps) {
  const params = new URLSearchParams({ view: "transcript", member: member.run_id });
  return (
    <Link className="underline" href={`/runs/${encodeURIComponent(run.run_id)}?${params}`}>
      {member.name ?? member.component_id}
    </Link>
  );
}
