"""Bytes as text: the same in parts as in one call, and never long without giving up Python's lock."""

import codecs
import random
import re
import threading
from encodings.aliases import aliases

import pytest

from musterd.knowledge import texts
from musterd.knowledge.texts import cleaned, decoded

ENCODINGS = sorted(
    {
        codecs.lookup(name).name
        for name in aliases.values()
        if re.fullmatch(r"(utf|iso|latin|cp|ascii|gb|big5|shift|euc|koi|mac).*", name) and name != "utf_7"
    }
)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_parts_are_decoded_as_the_whole(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "PART_LENGTH", 5)
    chance = random.Random(encoding)  # noqa: S311
    written = "Grüße, Ærø, мир, 日本語, 한국어 – 😀. ".encode(encoding, "ignore")
    for content in [written, written * 3, *(chance.randbytes(length) for length in range(60))]:
        if not content.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
            assert decoded(content, encoding) == content.decode(encoding, "replace")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_is_not_part_of_the_text(encoding: str) -> None:
    text = "Straße 😀 " * 20_000
    assert decoded(text.encode(encoding)) == text


def test_parts_are_cleaned_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)  # noqa: S311
    samples = ["".join(chance.choices("\r\n\xad\0a\ud800", k=30)) for _ in range(500)]
    whole = [cleaned(sample) for sample in samples]
    monkeypatch.setattr(texts, "PART_LENGTH", 4)
    assert [cleaned(sample) for sample in samples] == whole


def test_other_threads_run_while_a_long_content_is_read() -> None:
    content = b"\x81" * 8_000_000
    thread = threading.Thread(target=lambda: cleaned(decoded(content)))
    thread.start()
    turns = 0
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert turns > 80  # it was 6 to 40, because one call read it all
