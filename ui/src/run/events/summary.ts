/** One line for a raw event. */
import { kindOf, textOf } from "../live/feed";
import type { RunEvent } from "../model/types";

const SHOWN_CHARACTERS = 160;

export function eventSummary(event: RunEvent): string {
  return shortened(textOfEvent(event));
}

function textOfEvent(event: RunEvent): string {
  const { tool } = event;
  switch (kindOf(event)) {
    case "ToolCallStarted":
      return tool === undefined ? "" : `${tool.tool_name}(${argumentsLine(tool.tool_args)})`;
    case "ToolCallCompleted":
      return tool === undefined ? "" : `${tool.tool_name}: ${tool.result ?? ""}`;
    case "ToolCallError":
      return `${tool?.tool_name ?? ""}: ${event.error ?? ""}`;
    case "ModelRequestStarted":
    case "ModelLoadingStarted":
    case "ModelLoadingCompleted":
      return event.model ?? "";
    case "ModelPromptProgress":
      return `${event.read_tokens ?? 0} of ${event.prompt_tokens ?? 0} tokens read`;
    case "ModelRequestCompleted":
      return `${event.model ?? ""}, ${event.input_tokens ?? 0} in, ${event.output_tokens ?? 0} out`;
    case "ModelRequestRetried":
      return `try ${event.try ?? ""} failed: ${event.reason ?? ""}`;
    case "RunContinued":
      return [event.reason, event.attempt === undefined ? "" : `attempt ${event.attempt}`].filter(Boolean).join(", ");
    case "RunCancelled":
      return event.reason ?? "";
    default:
      return [stepOf(event), textOf(event.content) || event.error || event.reasoning_content]
        .filter(Boolean)
        .join(": ");
  }
}

/** The step that an event of a workflow is about; the events of a step's run have it too. */
function stepOf(event: RunEvent): string {
  return event.agent_id === undefined && event.team_id === undefined ? (event.step_name ?? "") : "";
}

function argumentsLine(args: Record<string, unknown>): string {
  return Object.entries(args)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}

/** One line of a text, of its beginning if it is long. */
export function shortened(text: string): string {
  const line = text
    .slice(0, SHOWN_CHARACTERS * 2)
    .replace(/\s+/g, " ")
    .trim();
  return line.length <= SHOWN_CHARACTERS ? line : `${line.slice(0, SHOWN_CHARACTERS - 1)}…`;
}

export function isFailure(event: RunEvent): boolean {
  const kind = kindOf(event);
  if (kind === "ToolCallCompleted") return event.tool?.tool_call_error === true;
  return kind === "RunError" || kind === "StepError" || kind === "ToolCallError" || kind === "ModelRequestRetried";
}
