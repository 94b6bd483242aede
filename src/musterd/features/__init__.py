"""Features: one folder for each thing that the server does in addition to running teams.

A feature has up to four files: ``records.py`` (its values), ``store.py`` (its statements), ``service.py`` (its use
cases) and ``api.py`` (its operations). It may use everything below it, and no other feature.
"""
