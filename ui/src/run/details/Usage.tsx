import { formatCost, formatCount } from "../../shared/format";
import type { RunStep } from "../model/types";
import type { Span } from "../spans";
import { Fact } from "./Fact";

/** The tokens and the cost of a model call. A try that was cut off has none: those of its step are of a later attempt. */
export function Usage({ span, step }: { span: Pick<Span, "outcome">; step: RunStep }) {
  const { usage } = step;
  if (usage === null || (span.outcome === "cut_off" && step.state === "completed")) return null;
  const cached = usage.cache_read_tokens ?? 0;
  return (
    <>
      <Fact name="Tokens">
        {`${formatCount(usage.input_tokens ?? 0)} in, ${formatCount(usage.output_tokens ?? 0)} out`}
        {cached > 0 ? <span className="text-ink-3">{`, ${formatCount(cached)} from the cache`}</span> : null}
      </Fact>
      <Fact name="Cost">{formatCost(step.cost)}</Fact>
    </>
  );
}
