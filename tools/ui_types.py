"""Write ui/src/api/schema.d.ts: TypeScript types of the server's OpenAPI document. Needs the packages of ui/.

python tools/ui_types.py           write them
python tools/ui_types.py --check   fail if the file differs
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from musterd import Agent, create_app
from musterd.core.settings import Settings
from musterd.http.docs import Docs
from musterd.http.routes import operations

UI = Path(__file__).resolve().parent.parent / "ui"
TYPES = UI / "src" / "api" / "schema.d.ts"
GENERATOR = UI / "node_modules" / ".bin" / "openapi-typescript"


def document() -> str:
    """The OpenAPI document; it depends on no component and no setting."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(agents=[Agent(id="any", model="scripted")], settings=Settings(db=f"sqlite:///{folder}/any.db"))
        docs = Docs(operations(app.state.server), title="musterd", version="0")
        return json.dumps(docs.document())


def types() -> str:
    """The types, as the generator writes them."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "schema.d.ts"
        source.write_text(document(), encoding="utf-8")
        subprocess.run([GENERATOR, source, "--output", target], cwd=UI, check=True, stdout=subprocess.DEVNULL)
        return target.read_text(encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write or check the file; return the exit status."""
    if not GENERATOR.exists():
        print("The packages of ui/ are not installed: python tools/install.py ui", file=sys.stderr)
        return 1
    text = types()
    if arguments != ["--check"]:
        TYPES.write_text(text, encoding="utf-8")
    elif not TYPES.exists() or TYPES.read_text(encoding="utf-8") != text:
        print("ui/src/api/schema.d.ts differs from the OpenAPI document: python tools/ui_types.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
