"""Reading the contents of steps that are stored apart, for what refers to them."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from musterd.core import jsontext
from musterd.core.records import RunView
from musterd.core.step_contents import AT, filled, paths_of, places_in
from musterd.store.database import Statement, Tx
from musterd.store.shards import SessionTx

OF_TREE = Statement(
    "step_contents_of_tree",
    """SELECT path, content FROM journal
       WHERE root_id = :root AND shard = :shard AND IN_LIST(path, :paths) AND content IS NOT NULL""",
)
# Runs of one workflow have the same paths, so this reads hardly more than what is referred to.
READ = Statement(
    "step_contents",
    """SELECT root_id, path, content FROM journal
       WHERE IN_LIST(root_id, :roots) AND IN_LIST(path, :paths) AND content IS NOT NULL""",
)


async def of_tree(tx: SessionTx, root_id: str, paths: Collection[str]) -> dict[str, str]:
    """The contents of steps of a tree, by path."""
    params = {"root": root_id, "paths": jsontext.dumps(sorted(paths))}
    return {row["path"]: row["content"] for row in await tx.all(OF_TREE, params)} if paths else {}


def are_missing(views: Iterable[RunView]) -> bool:
    """Whether outputs of these runs refer to contents."""
    return any(view.output is not None and any(places_in(_records(view))) for view in views)


async def fill_in(tx: Tx, views: Iterable[RunView]) -> None:
    """Put the contents that outputs of runs refer to in place of the references, with one statement."""
    referring, paths = list[RunView](), set[str]()
    for view in views:
        if view.output is not None and (of_view := paths_of(places_in(_records(view)))):
            referring.append(view)
            paths |= of_view
    if not referring:
        return
    texts = await _read(tx, {view.row.root_id for view in referring}, paths)
    for view in referring:
        assert view.output is not None
        contents = texts.get(view.row.root_id, {})
        view.characters += sum(map(len, contents.values()))
        whole = filled(_records(view), contents)
        results, content = whole["step_results"], whole["content"]
        view.output = replace(view.output, step_results=results, content=content, content_at=None)


def _records(view: RunView) -> dict[str, object]:
    output = view.output
    assert output is not None
    records: dict[str, object] = {"content": output.content, "step_results": output.step_results}
    return records if output.content is not None or output.content_at is None else {**records, AT: output.content_at}


async def _read(tx: Tx, roots: Collection[str], paths: Collection[str]) -> dict[str, dict[str, str]]:
    names = {"roots": jsontext.dumps(sorted(roots)), "paths": jsontext.dumps(sorted(paths))}
    texts: dict[str, dict[str, str]] = {}
    for row in await tx.all(READ, names):
        texts.setdefault(row["root_id"], {})[row["path"]] = row["content"]
    return texts
