"""The types of files that a run accepts, detected from the content, the declared type and the file name."""

from musterd.core.media import plain_type

_TYPES: dict[str, tuple[str, str]] = {
    "image/png": ("images", "png"),
    "image/jpeg": ("images", "jpeg"),
    "image/jpg": ("images", "jpg"),
    "image/webp": ("images", "webp"),
    "image/heic": ("images", "heic"),
    "image/heif": ("images", "heif"),
    "audio/wav": ("audio", "wav"),
    "audio/wave": ("audio", "wav"),
    "audio/x-wav": ("audio", "wav"),
    "audio/vnd.wave": ("audio", "wav"),
    "audio/mp3": ("audio", "mp3"),
    "audio/mpeg": ("audio", "mp3"),
    "video/x-flv": ("videos", "flv"),
    "video/quicktime": ("videos", "mov"),
    "video/mpeg": ("videos", "mpeg"),
    "video/mpegs": ("videos", "mpeg"),
    "video/mpgs": ("videos", "mpg"),
    "video/mpg": ("videos", "mpg"),
    "video/mp4": ("videos", "mp4"),
    "video/webm": ("videos", "webm"),
    "video/wmv": ("videos", "wmv"),
    "video/x-ms-wmv": ("videos", "wmv"),
    "video/3gpp": ("videos", "3gpp"),
    "application/pdf": ("files", "pdf"),
    "text/csv": ("files", "csv"),
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ("files", "docx"),
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ("files", "xlsx"),
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ("files", "pptx"),
    "text/plain": ("files", "txt"),
    "text/markdown": ("files", "md"),
    "text/x-markdown": ("files", "md"),
    "application/json": ("files", "json"),
}
"""The list and the short name of each accepted type."""

_BY_SUFFIX: dict[str, str] = {
    "jpg": "image/jpeg",
    "mp3": "audio/mpeg",
    "mpg": "video/mpeg",
    "3gp": "video/3gpp",
    "markdown": "text/markdown",
}
for _mime_type, (_, _name) in _TYPES.items():
    _BY_SUFFIX.setdefault(_name, _mime_type)

NAMES = tuple(dict.fromkeys(name for _, name in _TYPES.values()))
"""The short names of all types, for error messages."""

_TEXT_NAMES = frozenset({"csv", "txt", "md", "json"})
_ZIP_NAMES = frozenset({"docx", "xlsx", "pptx"})
_HEIF_BRANDS = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"msf1": "image/heif"}
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"%PDF-", "application/pdf"),
    (b"ID3\x02", "audio/mpeg"),
    (b"ID3\x03", "audio/mpeg"),
    (b"ID3\x04", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"FLV\x01", "video/x-flv"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/wmv"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
)
_ZIP = b"PK\x03\x04"


def kind_of_type(mime_type: str) -> str | None:
    """The list for files of this type (images, audio, videos or files), or None if the type is not accepted."""
    entry = _TYPES.get(plain_type(mime_type))
    return entry[0] if entry else None


def format_of(mime_type: str) -> str:
    """The short name of an accepted type, such as ``png``. For another type, the part after the slash."""
    entry = _TYPES.get(plain_type(mime_type))
    return entry[1] if entry else plain_type(mime_type).rpartition("/")[2]


def detect_type(filename: str, declared: str, content: bytes) -> str | None:
    """The type of an upload, or None if it is not accepted.

    The content takes precedence over the declared type, and that over the file name. A declared type that is not
    accepted, such as ``application/octet-stream``, is ignored.
    """
    sniffed = sniff(content)
    if sniffed is not None:
        return sniffed
    named_type = _BY_SUFFIX.get(filename.rpartition(".")[2].lower()) if "." in filename else None
    declared_type = plain_type(declared) if kind_of_type(declared) else None
    mime_type = declared_type or named_type
    if mime_type is None:
        return None
    is_zip = content.startswith(_ZIP)
    if is_zip or format_of(mime_type) in _ZIP_NAMES:
        office = [kind for kind in (declared_type, named_type) if kind and format_of(kind) in _ZIP_NAMES]
        return office[0] if office and is_zip else None
    if declared_type == "text/plain" and named_type is not None and format_of(named_type) in _TEXT_NAMES:
        return named_type  # .md and .csv are often declared as plain text
    return mime_type


def sniff(content: bytes) -> str | None:
    """The type according to the first bytes of ``content``, or None if they are not conclusive."""
    for start, mime_type in _STARTS:
        if content.startswith(start):
            return mime_type
    if content.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(content[8:12])
    if content[4:8] == b"ftyp":
        brand = content[8:12]
        if brand in _HEIF_BRANDS:
            return _HEIF_BRANDS[brand]
        if brand == b"qt  ":
            return "video/quicktime"
        return "video/3gpp" if brand.startswith(b"3g") else "video/mp4"
    return None
