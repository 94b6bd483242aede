"""Copies the data of another server into a database of musterd: sessions, runs, memories and approvals of AgentOS 2.5.

:mod:`.agentos` reads the tables of AgentOS, the modules beside it convert their rows to musterd's records, and
:mod:`.importing` stores these session by session. Nothing here imports Agno, and the other database is only read.
"""
