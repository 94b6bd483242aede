"""The store: all SQL statements, by subject, and the databases that execute them.

A store function is ``async def name(tx, …)`` and awaits nothing but ``tx`` (:mod:`musterd.store.database`).
"""
