"""How Alembic runs the revisions: on the connection that it is handed, in the transaction of the caller."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
