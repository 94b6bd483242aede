"""Agno's names and shapes, both ways: what AgentOS 2.5.6 says for our records, and what its clients ask.

Pure: records in, JSON values and bytes out. ``docs/reference/wire.md`` says where we differ.
"""
