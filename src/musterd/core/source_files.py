"""The files that declare agents, teams and workflows, by their suffixes."""

from pathlib import Path

from musterd.core.errors import DeclarationError

PYTHON = ".py"
YAML = (".yaml", ".yml")
SUFFIXES = (PYTHON, *YAML)


def existing_file(target: str) -> Path:
    """The path of a source that is a file.

    :raises DeclarationError: there is no such file.
    """
    path = Path(target)
    if path.is_file():
        return path
    if path.is_dir():
        raise DeclarationError(f"{target}: is a folder — pass a FILE.py or a teams.yaml")
    from musterd.core.suggestions import closest_match  # not for the commands that only need the suffixes

    folder = path.absolute().parent
    files = folder.iterdir() if folder.is_dir() else ()
    names = [file.name for file in files if file.suffix in SUFFIXES]
    suggestion = closest_match(path.name, names)
    fix = f"did you mean '{path.with_name(suggestion)}'?" if suggestion else f"looked for it in {folder}"
    raise DeclarationError(f"{target}: the file does not exist — {fix}")
