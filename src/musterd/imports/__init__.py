"""Copies sessions, runs, memories and approvals from an AgentOS 2.5 database into musterd's database.

:mod:`.agentos` reads AgentOS's tables, :mod:`.importing` goes through their rows, :mod:`.store` stores them, and the
other modules convert them to musterd's records. Nothing here imports Agno.
"""
