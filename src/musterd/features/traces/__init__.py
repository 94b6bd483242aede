"""Traces: runs as trees of spans, as AgentOS's clients list, search and show them."""
