"""Keeps a knowledge base in step with a folder: its files are contents, under their path below the folder."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput, NotFound, StartError
from musterd.core.jsontext import is_storable, storable
from musterd.core.threads import in_thread
from musterd.declare.knowledge import Knowledge
from musterd.features.knowledge import store
from musterd.features.knowledge.contents import Contents
from musterd.features.knowledge.records import NewContent, SourceKind
from musterd.store.database import Database

log = structlog.get_logger("musterd.knowledge")

_OPERATOR = Caller()


@dataclass(slots=True)
class Sync:
    """What a comparison with a folder changed: names of contents.

    :param added: files that are read now: those that are new, have changed, or failed before.
    :param skipped: files that are not read, each with the reason.
    """

    added: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


async def sync(
    database: Database, contents: Contents, knowledge: Knowledge, folder: Path, limit: int, *, is_manual: bool = False
) -> Sync:
    """Add the files of a folder that are new, have changed or failed before, and delete those that are gone.

    :param limit: the most bytes of a file.
    :param is_manual: whether a person runs it. Otherwise a file that was given up because of crashes is left: a server
        that reads it again at each start may crash at each start.
    :raises StartError: there is no such folder, or it or a folder below it cannot be read.
    """
    if not await in_thread(folder.is_dir):
        raise StartError(f"{knowledge.label}: {folder} is not a folder — create it, or name another one")
    result = Sync()
    stored = await database.scan(lambda tx: store.of_source(tx, knowledge.id, SourceKind.FOLDER))
    try:
        paths = await in_thread(lambda: list(_files(folder)))
    except OSError as error:  # what is below it may still be there, so nothing is deleted
        raise StartError(f"{knowledge.label}: {error.filename} cannot be read: {error.strerror}") from error
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            new = await in_thread(_read, path, name, limit)
        except OSError as error:
            new = f"it cannot be read: {error.strerror}"
            stored.pop(name, None)  # it is not gone
        if isinstance(new, str):
            result.skipped[storable(name)] = new
            continue
        before = stored.pop(name, None)
        if before is not None and before.hash == new.hash:
            is_retried = before.has_failed and (is_manual or not before.is_given_up)
            if not is_retried:
                result.unchanged.append(name)
                continue
        try:
            await contents.add(knowledge, new, _OPERATOR)
            result.added.append(name)
        except InvalidInput as error:
            result.skipped[name] = error.errors[0]["msg"]
    await _remove(contents, knowledge, {name: gone.content_id for name, gone in stored.items()}, result)
    for name, reason in result.skipped.items():
        log.warning("file left out", knowledge=knowledge.id, file=name, reason=reason)
    log.info("folder synchronized", knowledge=knowledge.id, added=len(result.added), removed=len(result.removed))
    return result


async def _remove(contents: Contents, knowledge: Knowledge, gone: Mapping[str, str], result: Sync) -> None:
    """Delete the contents of files that are gone.

    :param gone: the ids of the contents, by name.
    """
    for name, content_id in gone.items():
        try:
            await contents.remove(knowledge, content_id, _OPERATOR)
            result.removed.append(name)
        except NotFound:  # another process was first
            continue


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder, without hidden ones and links out of it.

    :raises OSError: a folder cannot be read.
    """
    root = folder.resolve()

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file() and path.resolve().is_relative_to(root):
                yield path


def _read(path: Path, name: str, limit: int) -> NewContent | str:
    """The content of a file, or why it is left out.

    :raises OSError: it cannot be read.
    """
    if not is_storable(name):
        return "its name is not UTF-8"
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        return f"it is larger than {limit // 1024} KiB"
    return NewContent(source=SourceKind.FOLDER, name=name, content=content, origin=name).hashed()
