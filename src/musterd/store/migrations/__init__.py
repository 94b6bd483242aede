"""The revisions of the schema, run by Alembic. Within a minor version a revision only adds to the schema."""
