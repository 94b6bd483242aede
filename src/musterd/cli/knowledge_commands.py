"""``musterd knowledge``: the commands and their options."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from musterd.cli.main import DATABASE, JSON

knowledge = App(name="knowledge", help="List, add, remove and search the contents of knowledge bases.")


@knowledge.command(name="ls")
def list_contents(base: str, /, *, db: DATABASE = None, json: JSON = False) -> int:
    """List the contents of the knowledge base BASE, with the states of their jobs.

    Parameters
    ----------
    base
        The id of the knowledge base. A server has declared it.
    """
    from musterd.cli.knowledge import show

    return show(base, db=db, as_json=json)


@knowledge.command(name="add")
def add_contents(base: str, file: Path, /, *files: Path, db: DATABASE = None) -> int:
    """Add files to the knowledge base BASE. A server on the same database reads them within a second.

    Parameters
    ----------
    base
        The id of the knowledge base.
    file
        A file; contents of the same names are replaced.
    files
        More files.
    """
    from musterd.cli.knowledge import add

    return add(base, [file, *files], db=db)


@knowledge.command(name="rm")
def remove_content(base: str, name: str, /, *, db: DATABASE = None) -> int:
    """Delete the content NAME of the knowledge base BASE.

    Parameters
    ----------
    base
        The id of the knowledge base.
    name
        The name or the id of the content.
    """
    from musterd.cli.knowledge import remove

    return remove(base, name, db=db)


@knowledge.command(name="search")
def search_contents(
    base: str,
    query: str,
    /,
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))] = 10,
    db: DATABASE = None,
    json: JSON = False,
) -> int:
    """Search the knowledge base BASE for QUERY, and print the best chunks.

    Parameters
    ----------
    base
        The id of the knowledge base.
    query
        What to search for.
    limit
        The maximum number of chunks.
    """
    from musterd.cli.knowledge import search

    return search(base, query, limit=limit, db=db, as_json=json)


@knowledge.command(name="sync")
def sync_folder(base: str, folder: Path, /, *, db: DATABASE = None) -> int:
    """Synchronize the knowledge base BASE with FOLDER: add new files, replace changed ones, delete removed ones.

    Exit codes: 0 all files can be read, 1 some were left out.

    Parameters
    ----------
    base
        The id of the knowledge base.
    folder
        The folder. Contents from other sources stay.
    """
    from musterd.cli.knowledge import sync

    return sync(base, folder, db=db)
