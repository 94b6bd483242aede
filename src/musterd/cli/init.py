"""``musterd init``: writes a sample that runs without an account, with its test."""

import shlex
import sys
from pathlib import Path
from typing import Literal

from musterd.cli.samples import sample
from musterd.core.errors import StartError

Template = Literal["team", "workflow", "knowledge"]
EXAMPLES: dict[Template, tuple[str, str]] = {
    "team": ("desk", "What is the weather in Oslo? Send a postcard to Anna."),
    "workflow": ("article", "The kettle"),
    "knowledge": ("handbook", "What may a hotel cost?"),
}
"""What can be run of each template: an id, and a message."""
NOTES: dict[Template, str] = {"knowledge": "Put your documents into documents/. They are read at each start."}
"""Notes that are printed after a template's files."""
MODEL_NOTE = "For a model of your own, copy .env.example to .env, and set the model and its key there."
RENAMED = {"gitignore": ".gitignore", "env.example": ".env.example"}
"""Files that would have an effect in the folder of the samples under the names that they get."""


def init(folder: Path, template: Template) -> int:
    """Write the files of a template into ``folder``, and print the next commands. Returns 1 if some exist already.

    :raises StartError: the folder cannot be written to.
    """
    texts = _texts(template)
    try:
        if existing := [path for path in texts if (folder / path).exists()]:
            print("musterd: nothing was written, because these files exist already:", file=sys.stderr)  # noqa: T201
            print("\n".join(f"  {folder / path}" for path in existing), file=sys.stderr)  # noqa: T201
            return 1
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("x", encoding="utf-8") as file:  # x: never overwrites, even in a race
                file.write(text)
    except OSError as error:
        raise StartError(f"{error.filename}: cannot be written ({error.strerror}) — choose another folder") from error
    print("\n".join(_lines(folder, template, list(texts))))  # noqa: T201 - the output of the command
    return 0


def _texts(template: Template) -> dict[Path, str]:
    """The text of each file by its path in the new folder."""
    texts = {}
    for source in (sample(f"init/{template}"), sample("init/common")):
        for path in sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                target = path.relative_to(source)
                texts[target.with_name(RENAMED.get(path.name, path.name))] = path.read_text(encoding="utf-8")
    return texts


def _lines(folder: Path, template: Template, files: list[Path]) -> list[str]:
    from musterd.http.ui import is_built

    component, message = EXAMPLES[template]
    opening = ", open its page" if is_built() else ""
    commands = [
        (f"musterd dev {template}.py", f"serve it{opening}, and restart it after each change"),
        (f'musterd run {component} "{message}"', "in another terminal: run it, and watch"),
        (f"pytest test_{template}.py", "run its test (pip install pytest)"),
    ]
    lines = [line for command, purpose in commands for line in (f"  {command}", f"      {purpose}")]
    if folder.resolve() != Path.cwd():
        lines.insert(0, f"  cd {shlex.quote(str(folder))}")
    notes = [NOTES[template]] if template in NOTES else []
    return [f"Wrote {', '.join(map(str, files))}", *notes, "", "Next:", *lines, "", MODEL_NOTE]
