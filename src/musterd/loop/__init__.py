"""The loop of an agent or team: turns, tool calls, delegations. It never sees the database or the engine."""
