"""The pages of the docs. Their assets come with the package: no page loads anything from elsewhere."""

from fastapi import FastAPI


def add_docs(app: FastAPI) -> None:
    """Serve ``/docs`` and ``/redoc``."""
