/** The operations that teams, agents and workflows have alike, each below its own path. */
import { dataOf, newKey } from "musterd-client";
import { api } from "./client";
import type { ComponentKind } from "./types";

/** Forks a session into a new one. Each request has a key of its own, so that sending it twice does it once. */
export function forkSession(kind: ComponentKind, id: string, sessionId: string): Promise<{ session_id: string }> {
  const header = { "Idempotency-Key": newKey() };
  switch (kind) {
    case "team": {
      const path = { team_id: id, session_id: sessionId };
      return dataOf(api.POST("/teams/{team_id}/sessions/{session_id}/fork", { params: { header, path } }));
    }
    case "agent": {
      const path = { agent_id: id, session_id: sessionId };
      return dataOf(api.POST("/agents/{agent_id}/sessions/{session_id}/fork", { params: { header, path } }));
    }
    case "workflow": {
      const path = { workflow_id: id, session_id: sessionId };
      return dataOf(api.POST("/workflows/{workflow_id}/sessions/{session_id}/fork", { params: { header, path } }));
    }
  }
}
