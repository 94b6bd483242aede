"""Write clients/ts/src/schema.ts: TypeScript types of the server's OpenAPI document. Needs the packages of clients/ts.

python tools/client_types.py           write them
python tools/client_types.py --check   fail if the file differs
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

CLIENT = Path(__file__).resolve().parent.parent / "clients" / "ts"
TYPES = CLIENT / "src" / "schema.ts"
GENERATOR = CLIENT / "node_modules" / ".bin" / "openapi-typescript"


def document() -> str:
    """The OpenAPI document; it depends on no component and no setting."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(agents=[Agent(id="any", model="scripted")], settings=Settings(db=f"sqlite:///{folder}/any.db"))
        docs = Docs(operations(app.state.server), title="musterd", version="0")
        return json.dumps(docs.document())


def types() -> str:
    """The types, as the generator writes them."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "schema.ts"
        source.write_text(document(), encoding="utf-8")
        subprocess.run([GENERATOR, source, "--output", target], cwd=CLIENT, check=True, stdout=subprocess.DEVNULL)
        return target.read_text(encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write or check the file; return the exit status."""
    if not GENERATOR.exists():
        print("The packages of clients/ts are not installed: python tools/install.py ui", file=sys.stderr)
        return 1
    text = types()
    if arguments != ["--check"]:
        TYPES.write_text(text, encoding="utf-8")
    elif not TYPES.exists() or TYPES.read_text(encoding="utf-8") != text:
        print(
            "clients/ts/src/schema.ts differs from the OpenAPI document: python tools/client_types.py", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
