"""Generates almost valid requests from the OpenAPI document and then breaks them, reproducibly from a seed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote_from_bytes

T = TypeVar("T")
Schema = dict[str, Any]

NASTY: Sequence[Any] = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "a\r\nX-Injected: yes",
    "\u202egnp.exe",
    "e\u0301" * 200,
    "\uffff",
    "../../../../etc/passwd",
    "%00%2e%2e%2f",
    "' OR 1=1; --",
    "{{7*7}}${7*7}",
    "null",
    "[]",
    "{}",
    "[{}]",
    "[[[[[]]]]]",
    "[" * 5000,
    '{"a":' * 300 + "1" + "}" * 300,
    '{"a": 1, "a": 2}',
    '{"\\ud800": "\\u0000"}',
    '[{"url": "file:///etc/passwd"}]',
    '[{"url": "http://["}]',
    '[{"content": "AAAA", "mime_type": "image/png", "filename": "a\\nb"}]',
    '[{"content": "====", "mime_type": "image/svg+xml"}]',
    '{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}',
    '{"type": "object", "pattern": "(a+)+$", "properties": {"a": 1}}',
    "NaN",
    "Infinity",
    "1e400",
    "-1",
    "0",
    "1" * 5000,
    "99999999999999999999",
    "true",
    "ſ",
    "١٢٣",
    "x" * 9000,
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    0.1,
    [],
    {},
    [None],
    [[[]]],
    {"": ""},
    {"a": {"a": {"a": {}}}},
    ["x"] * 300,
)
"""Values that fields of no kind, or of another kind, may hold."""

USUAL = frozenset({"message", "session_id", "session_ids", "session_types", "status"})
"""Fields that most requests have."""

FILE_NAMES = (
    "a.txt",
    "a.png",
    "../../a.txt",
    "C:\\a.docx",
    "a\x00.txt",
    "\u202etxt.a",
    "a" * 3000 + ".txt",
    "",
    ".",
    "a.svg",
    "a.html",
    'a"; x="b.txt',
)
FILE_TYPES = ("text/plain", "image/png", "application/pdf", "text/html", "", "a/b/c", "application/zip", "é", "x" * 500)
FILE_STARTS = (b"", b"hello", b"\x89PNG", b"PK\x03\x04", b"%PDF-", b"RIFF", b"\xff\xfe\x00", b"<svg onload=alert(1)>")
CONTENT_TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=B",
    "multipart/form-data",
    "multipart/form-data; boundary=" + "b" * 300,
    "multipart/form-data; boundary=B; charset=utf-7",
    "text/plain",
    "application/json; charset=utf-16",
    "",
)


class Dice:
    """Chance that is the same for the same seed, on every machine."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._thrown = 0

    def below(self, most: int) -> int:
        """A number from 0, less than ``most``."""
        self._thrown += 1
        digest = hashlib.blake2b(f"{self._seed}/{self._thrown}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % most

    def one_in(self, times: int) -> bool:
        """True once in so many times."""
        return self.below(times) == 0

    def one_of(self, values: Sequence[T]) -> T:
        """One of them."""
        return values[self.below(len(values))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an operation takes."""

    method: str
    path: str
    parameters: Sequence[Schema]
    bodies: dict[str, dict[str, Schema]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def shapes(document: Schema) -> list[Shape]:
    """What every operation of a document takes."""
    found = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            bodies = {kind: _properties(document, body["schema"]) for kind, body in content.items()}
            parameters = operation.get("parameters", [])
            found.append(Shape(method=method.upper(), path=path, parameters=parameters, bodies=bodies))
    return found


def _properties(document: Schema, schema: Schema) -> dict[str, Schema]:
    if ref := schema.get("$ref"):
        schema = document["components"]["schemas"][ref.rpartition("/")[2]]
    found: dict[str, Schema] = schema.get("properties", {})
    return found


class Mutations:
    """Makes requests.

    :param known: values of names that exist on the server, as ``session_id``.
    """

    def __init__(self, seed: int, known: Mapping[str, Sequence[Any]]) -> None:
        self._dice = Dice(seed)
        self._known = known

    def request(self, shape: Shape) -> Asked:
        """A request of this shape, mostly with something wrong in it."""
        dice, path, query = self._dice, shape.path, b""
        headers: list[tuple[bytes, bytes]] = [(b"host", b"localhost")]
        for parameter in shape.parameters:
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                path = path.replace("{" + name + "}", _escaped(self._text(name, {})))
            elif place == "query" and not dice.one_in(3):
                query += f"{name}={_escaped(self._text(name, parameter.get('schema', {})))}&".encode()
            elif place == "header" and dice.one_in(5):
                headers.append((name.lower().encode(), self._text(name, {}).encode("utf-8", "replace")[:300]))
        body = b""
        if shape.bodies:
            kind = dice.one_of(list(shape.bodies))
            content_type, body = self._body(kind, shape.bodies[kind])
            headers.append((b"content-type", content_type.encode("latin-1", "replace")))
        headers.append((b"content-length", str(len(body)).encode()))
        if dice.one_in(10):
            headers.append((b"x-request-id", dice.one_of((b"a b", b"x" * 300, b"\xe9", b"ok-1"))))
        return Asked(method=shape.method, path=path, query=query, headers=headers, body=body)

    def _text(self, name: str, schema: Schema) -> str:
        value = self._value(name, schema)
        return value if isinstance(value, str) else json.dumps(value)

    def _value(self, name: str, schema: Schema) -> Any:
        dice = self._dice
        if dice.one_in(12):
            return dice.one_of(NASTY)
        if name in self._known:
            return dice.one_of(self._known[name])
        schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
        if "enum" in schema:
            return dice.one_of(schema["enum"])
        if "examples" in schema:
            return dice.one_of(schema["examples"])
        kinds: dict[str, Sequence[Any]] = {
            "boolean": (True, False, "true", "on", "1"),
            "integer": (0, 1, "2"),
            "number": (0.5, "1.5"),
            "object": ({"a": "b"}, '{"a": [1, 2]}'),
            "array": ([], "[]", [{}]),
        }
        return dice.one_of(kinds.get(schema.get("type", ""), ("x", "hello", "s-1")))

    def _body(self, kind: str, properties: dict[str, Schema]) -> tuple[str, bytes]:
        dice = self._dice
        fields = [(name, self._value(name, properties[name])) for name in properties if self._is_given(name)]
        while dice.one_in(6):
            fields.append((dice.one_of((*properties, "x", "", "a" * 500)), dice.one_of(NASTY)))
        if kind == "application/json":
            body = json.dumps(dict(fields) if not dice.one_in(20) else dice.one_of(NASTY)).encode()
        elif kind == "multipart/form-data":
            kind, body = "multipart/form-data; boundary=B", self._multipart(fields)
        else:
            body = b"&".join(_quoted(name) + b"=" + _quoted(value) for name, value in fields)
        if dice.one_in(8):
            body = self._broken(body)
        return (dice.one_of(CONTENT_TYPES) if dice.one_in(15) else kind), body

    def _is_given(self, name: str) -> bool:
        return self._dice.below(10) < (8 if name in USUAL else 1)

    def _multipart(self, fields: Sequence[tuple[str, Any]]) -> bytes:
        dice = self._dice
        parts = []
        for name, value in fields:
            head = b'Content-Disposition: form-data; name="%s"' % _bytes(name).replace(b'"', b"%22")
            content = _bytes(value)
            if name in ("files", "images") or dice.one_in(30):
                head += b'; filename="%s"' % _bytes(dice.one_of(FILE_NAMES))
                head += b"\r\nContent-Type: %s" % _bytes(dice.one_of(FILE_TYPES))
                content = dice.one_of(FILE_STARTS) + content[:100]
            parts.append(b"--B\r\n" + head + b"\r\n\r\n" + content + b"\r\n")
        return b"".join(parts) + b"--B--\r\n"

    def _broken(self, body: bytes) -> bytes:
        dice = self._dice
        place = dice.below(len(body) + 1)
        ways = (
            body[:place],
            body[place:],
            body[:place] + bytes((dice.below(256),)) + body[place + 1 :],
            body[:place] + bytes(dice.below(256) for _ in range(8)) + body[place:],
            body + body,
            bytes(dice.below(256) for _ in range(64)),
        )
        return dice.one_of(ways)


def _bytes(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _quoted(value: Any) -> bytes:
    return quote_from_bytes(_bytes(value)).encode()


def _escaped(text: str) -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogatepass"))[:2000]
