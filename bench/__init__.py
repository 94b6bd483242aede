"""Benchmarks of musterd and agno 2.5.6 with the same work and the same scripted model, in the same run.

python -m bench                     all measurements, about eight minutes
python -m bench runs reads          some of them
python -m bench --durable           durability and scaling, on SQLite and on Postgres, about seven minutes
python -m bench --durable recovery  some of them
python -m bench --scale-out         several processes, with NATS and with the local bus, about five minutes
python -m bench --lists             lists of runs and of sessions, 10,000 of each, about four minutes
python -m bench --streams           subscribers of streams, about four minutes
python -m bench --auth              the cost of authentication, about three minutes
python -m bench --knowledge-http    knowledge bases over HTTP, beside agno with pgvector, about twelve minutes
python -m bench --webhooks          the cost and the speed of webhooks, about two minutes
python -m bench --write-docs        all measurements, written to docs/performance.md; also with --durable
python -m bench --profile runs      a CPU profile of musterd alone
python -m bench.dispatch            dispatch of ready runs by claims, and by jobs of procrastinate
python -m bench.chaos               2,000 runs, while processes, NATS servers and Postgres are killed
"""
