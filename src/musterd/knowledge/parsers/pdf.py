"""PDF: the text of each page."""

from collections.abc import Iterator
from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import LimitReachedError, PyPdfError

from musterd.knowledge.problems import Unreadable

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})


def pieces(content: bytes, charset: str | None) -> Iterator[tuple[str, str | None]]:
    """The pages that have text."""
    try:
        reader = PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("The PDF has a password. Save it without one.")
        for number, page in enumerate(reader.pages, 1):
            yield page.extract_text().translate(_LIGATURES), f"page {number}"
    except LimitReachedError as error:
        raise Unreadable("The PDF unpacks to more than is allowed.") from error
    except PyPdfError as error:
        raise Unreadable("The PDF could not be read. It is damaged or incomplete.") from error
