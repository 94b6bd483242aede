"""Benchmarks: musterd beside agno 2.5.6, on the same work, against the same scripted model, in the same run.

python -m bench                     everything, about eight minutes
python -m bench runs reads          some of it
python -m bench --write-docs        everything, and the table of docs/performance.md
python -m bench --profile runs      musterd alone, and where its CPU goes
"""
