"""The store: every statement that reaches the database, by subject, and the databases themselves.

A store function is ``async def name(tx, …)`` and awaits nothing but ``tx`` (:mod:`musterd.store.database`).
"""
