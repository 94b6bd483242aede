"""Chunks of documents, and where they stand."""

import pytest

from musterd.knowledge import extra
from musterd.knowledge.reading import Section
from musterd.knowledge.splitting import Chunk, TooManyChunks, split
from tests.support.cpu_time import cpu_at_most

MANUAL = """Before any heading.

# Install ##

First sentence. Second sentence.

## Linux

Use the package.

```sh
# not a heading
```

~~~
## neither
~~~

## macOS

Use the image, which has all tools.

# Remove

Delete it.
"""


def test_chunks_end_at_paragraphs_and_keep_the_place_of_their_section() -> None:
    sections = [
        Section(text="One two three.\n\nFour five six.\n\n", place="page 1"),
        Section(text="Seven.", place="page 2"),
    ]
    assert split(sections, characters=20) == [
        Chunk(number=0, text="One two three.", place="page 1"),
        Chunk(number=1, text="Four five six.", place="page 1"),
        Chunk(number=2, text="Seven.", place="page 2"),
    ]


def test_chunks_of_markdown_name_the_headings_above_them() -> None:
    chunks = split([Section(text=MANUAL)], characters=60, kind="markdown")
    places = {chunk.text.splitlines()[-1]: chunk.place for chunk in chunks}
    assert places["Before any heading."] is None
    assert places["First sentence. Second sentence."] == "Install"
    assert places["Use the image, which has all tools."] == "Install › macOS"
    assert places["Delete it."] == "Remove"
    assert not any("neither" in (chunk.place or "") or "not a" in (chunk.place or "") for chunk in chunks)
    assert [chunk.place for chunk in chunks if "Use the package." in chunk.text] == ["Install › Linux"]


def test_headings_of_plain_text_are_text() -> None:
    assert split([Section(text="# a comment\nls")], characters=100) == [
        Chunk(number=0, text="# a comment\nls", place=None)
    ]


def test_no_chunk_is_longer_than_asked_and_no_word_is_lost() -> None:
    words = [f"word{number}" for number in range(500)]
    chunks = split([Section(text=" ".join(words) + "x" * 300)], characters=50)
    assert all(len(chunk.text) <= 50 for chunk in chunks)
    assert " ".join(chunk.text for chunk in chunks).replace(" ", "") == "".join(words) + "x" * 300


def test_chunks_may_overlap() -> None:
    first, second, *_ = split([Section(text="a b c d e f g h i j")], characters=9, overlap=4)
    assert first.text == "a b c d e"
    assert second.text.startswith("d e")


def test_the_number_of_chunks_is_limited() -> None:
    with pytest.raises(TooManyChunks, match="more than 1,000 chunks"):
        split([Section(text="a\n\n" * 1001)], characters=1, max_chunks=1000)


def test_a_long_text_without_line_breaks_is_split_in_linear_time() -> None:
    sentence = "Twelve words are in this sentence, which is there only to be cut"
    with cpu_at_most(2.5):  # it was 8 s, and 40 minutes for the longest text that is accepted
        chunks = split([Section(text=f"{sentence}. " * 20_000)], characters=1000)
    assert all(len(chunk.text) <= 1000 for chunk in chunks)
    assert sum(chunk.text.count(sentence) for chunk in chunks) == 20_000, "it is cut between sentences"


def test_a_long_markdown_text_keeps_the_places_of_its_parts() -> None:
    pages = [f"# Page {number}\n\n{'word ' * 100}end {number}." for number in range(300)]
    chunks = split([Section(text="\n\n".join(pages))], characters=1000, kind="markdown")
    last_words = {chunk.text.split()[-1]: chunk.place for chunk in chunks}
    assert {f"{number}.": f"Page {number}" for number in range(300)}.items() <= last_words.items()


@pytest.mark.parametrize("lines", [1000, 5000], ids=["a long code block", "one that is longer than a part"])
@pytest.mark.parametrize("end", ["\n```\n\n", ""], ids=["closed", "open"])
def test_a_long_markdown_text_is_not_cut_inside_a_code_block(lines: int, end: str) -> None:
    """The text after the block would be split as code, and not at its headings."""
    pages = [f"# Page {number}\n\n{'word ' * 110}end." for number in range(60)]
    code = "```python\n" + "\n".join(f"# step {number}\nvalue = {number}" for number in range(lines))
    text = "\n\n".join([*pages, code]) + end + "\n\n".join(pages if end else [])
    chunks = split([Section(text=text)], characters=1000, kind="markdown")
    assert sum(chunk.text.count("value =") for chunk in chunks) == lines, "no line is cut or lost"
    places = [chunk.place for chunk in chunks if "word" in chunk.text]
    assert places[:60] == [f"Page {number}" for number in range(60)]
    # The end of a code block and the page after it may fit into one chunk, which stands where the block does.
    assert places[61:] == [f"Page {number}" for number in range(1, 60)] * bool(end)
    assert all(chunk.text.startswith("#") for chunk in chunks if "word" in chunk.text and "`" not in chunk.text)


@pytest.mark.parametrize("filler", [" ", "#", " #"])
def test_a_long_heading_is_read_in_linear_time(filler: str) -> None:
    with cpu_at_most(2.5):  # it was over 8 s, in which no other thread could compute
        first, *_ = split([Section(text=f"# Title {filler * 40_000}x\n\nText.")], characters=100, kind="markdown")
    assert (first.place or "").startswith("Title")


def test_marks_after_a_heading_are_not_in_its_title() -> None:
    (chunk,) = split([Section(text="# C # and F# ## \t\n\nText.")], characters=100, kind="markdown")
    assert chunk.place == "C # and F"


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages of the extra are not installed."""
    monkeypatch.setattr(extra, "is_installed", lambda: False)


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_texts_are_cut_at_paragraphs_sentences_and_words() -> None:
    text = "One two three.\n\nFour five six. Seven eight nine ten eleven twelve.\n\n"
    assert split([Section(text=text, place="page 1")], characters=20) == [
        Chunk(number=0, text="One two three.", place="page 1"),
        Chunk(number=1, text="Four five six.", place="page 1"),
        Chunk(number=2, text="Seven eight nine", place="page 1"),
        Chunk(number=3, text="ten eleven twelve.", place="page 1"),
    ]


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_chunks_of_markdown_name_the_headings_above_them() -> None:
    chunks = split([Section(text=MANUAL)], characters=60, kind="markdown")
    assert all(len(chunk.text) <= 60 for chunk in chunks)
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(MANUAL.split())
    places = {chunk.text.splitlines()[-1]: chunk.place for chunk in chunks}
    assert places["Use the image, which has all tools."] == "Install › macOS"
    assert places["Delete it."] == "Remove"


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize("overlap", [0, 10, 49])
def test_without_the_extra_no_chunk_is_too_long_and_no_word_is_lost(overlap: int) -> None:
    words = [f"word{number}" for number in range(100)]
    text = " ".join(words) + "x" * 200
    chunks = [chunk.text for chunk in split([Section(text=text)], characters=50, overlap=overlap)]
    assert all(len(chunk) <= 50 for chunk in chunks)
    assert all(any(word in chunk for chunk in chunks) for word in words)
    assert overlap or "".join(chunks).replace(" ", "") == "".join(words) + "x" * 200


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_chunks_may_overlap() -> None:
    first, second, *_ = split([Section(text="a b c d e f g h i j")], characters=9, overlap=4)
    assert first.text == "a b c d"
    assert second.text.startswith("c d e")


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_the_number_of_chunks_is_limited() -> None:
    with pytest.raises(TooManyChunks, match="more than 100 chunks"):
        split([Section(text="x" * 1_000_000)], characters=1000, overlap=999, max_chunks=100)
