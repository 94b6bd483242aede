"""Memories of users, as AgentOS's clients write, list and merge them."""
