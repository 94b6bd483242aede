/** The tokens of a session by model, most first. */
import { metricsOf, type SessionDetail } from "./session";

export function tokensByModel(session: SessionDetail): [string, number][] {
  const tokens = new Map<string, number>();
  for (const share of Object.values(metricsOf(session).details ?? {}).flat()) {
    tokens.set(share.id, (tokens.get(share.id) ?? 0) + (share.total_tokens ?? 0));
  }
  return [...tokens].sort((left, right) => right[1] - left[1]);
}
