"""The pure core: run states, events, records, errors, settings, and the only source of time, ids and randomness.

Nothing here does I/O or imports another package of musterd.
"""
