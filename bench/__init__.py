"""Benchmarks: musterd beside agno 2.5.6, on the same work, against the same scripted model, in the same run.

python -m bench                     everything, about eight minutes
python -m bench runs reads          some of it
python -m bench --durable           durability and scaling, on SQLite and on Postgres, about seven minutes
python -m bench --durable recovery  some of it
python -m bench --lists             lists of runs and of sessions, 10,000 of each, about four minutes
python -m bench --streams           readers of streams, about four minutes
python -m bench --auth              what finding out who asks costs, about three minutes
python -m bench --webhooks          what webhooks cost, and how fast they are sent, about two minutes
python -m bench --write-docs        everything, and the table of docs/performance.md; with --durable its own
python -m bench --profile runs      musterd alone, and where its CPU goes
python -m bench.dispatch            how a ready run comes to a worker: by our claim, or by procrastinate's jobs
"""
