"""The pure core: run states, events, records, errors, settings, and the one door to time, ids and chance.

Nothing here does I/O or imports another room of musterd.
"""
