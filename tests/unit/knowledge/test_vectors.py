"""The index of vectors against a plain computation."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from musterd.knowledge.problems import LengthsDiffer
from musterd.knowledge.vectors import VectorIndex

LENGTH = 64


def random_vectors(count: int, seed: int = 1) -> list[bytes]:
    """Vectors of int8 numbers."""
    return [row.tobytes() for row in np.random.default_rng(seed).integers(-127, 128, (count, LENGTH), dtype=np.int8)]


def nearest(query: bytes, vectors: dict[int, bytes], limit: int) -> list[tuple[int, float]]:
    """The expected result of a search."""
    target = np.frombuffer(query, dtype=np.int8).astype(np.float64)
    cosines = []
    for chunk_id, vector in vectors.items():
        row = np.frombuffer(vector, dtype=np.int8).astype(np.float64)
        cosines.append((chunk_id, float(row @ target / np.linalg.norm(row) / np.linalg.norm(target))))
    return sorted(cosines, key=lambda item: (-item[1], item[0]))[:limit]


def assert_same(result: Sequence[tuple[int, float]], expected: Sequence[tuple[int, float]]) -> None:
    """Compare ids exactly and cosines as floats of single precision."""
    assert [chunk_id for chunk_id, _ in result] == [chunk_id for chunk_id, _ in expected]
    assert [cosine for _, cosine in result] == pytest.approx([cosine for _, cosine in expected], abs=1e-5)


def test_a_search_finds_the_nearest_vectors_exactly() -> None:
    vectors = dict(enumerate(random_vectors(1000), start=10))
    index = VectorIndex()
    for start in range(10, 1010, 300):
        ids = [chunk_id for chunk_id in vectors if start <= chunk_id < start + 300]
        index.add(ids, [vectors[chunk_id] for chunk_id in ids])
    assert len(index) == 1000
    assert index.memory_bytes >= 1000 * LENGTH
    for query in random_vectors(20, seed=2):
        assert_same(index.search(query, 10), nearest(query, vectors, 10))
    assert_same(index.search(vectors[10], 5000), nearest(vectors[10], vectors, 5000))


def test_a_restricted_search_finds_as_many_as_there_are() -> None:
    vectors = dict(enumerate(random_vectors(500)))
    index = VectorIndex()
    index.add([*vectors], [*vectors.values()])
    (query,) = random_vectors(1, seed=2)
    allowed = {3, 77, 123, 400, 9999}
    expected = nearest(query, {chunk_id: vectors[chunk_id] for chunk_id in allowed if chunk_id in vectors}, 10)
    assert_same(index.search(query, 10, allowed), expected)

    class Odd:
        def __contains__(self, chunk_id: object) -> bool:
            return isinstance(chunk_id, int) and chunk_id % 2 == 1

    odd = {chunk_id: vector for chunk_id, vector in vectors.items() if chunk_id % 2}
    assert_same(index.search(query, 10, Odd()), nearest(query, odd, 10))
    assert index.search(query, 10, set()) == []


def test_removed_and_replaced_vectors_are_not_found() -> None:
    vectors = dict(enumerate(random_vectors(300)))
    index = VectorIndex()
    index.add([*vectors], [*vectors.values()])
    (query,) = random_vectors(1, seed=2)
    for removed in ([5, 6, 7], range(100, 250)):  # the second time it is copied without them
        index.remove([*removed, 9999])
        vectors = {chunk_id: vector for chunk_id, vector in vectors.items() if chunk_id not in removed}
        assert len(index) == len(vectors)
        assert_same(index.search(query, 300), nearest(query, vectors, 300))
    changed = random_vectors(3, seed=3)
    index.add([1, 2, 600], changed)
    vectors |= dict(zip([1, 2, 600], changed, strict=True))
    assert len(index) == len(vectors)
    assert_same(index.search(query, 300), nearest(query, vectors, 300))
    index.remove([*vectors])
    assert len(index) == 0
    assert index.search(query, 10) == []


def test_equally_near_vectors_are_ordered_by_id() -> None:
    (same,) = random_vectors(1)
    index = VectorIndex()
    index.add([9, 4, 7, 1], [same] * 4)
    assert [chunk_id for chunk_id, _ in index.search(same, 2)] == [1, 4]


def test_a_vector_without_a_direction_is_never_found() -> None:
    index = VectorIndex()
    assert index.search(random_vectors(1)[0], 10) == []
    index.add([1, 2], [bytes(LENGTH), *random_vectors(1)])
    assert [chunk_id for chunk_id, _ in index.search(random_vectors(1)[0], 10)] == [2]
    assert index.search(bytes(LENGTH), 10) == []


def test_vectors_of_another_length_are_refused() -> None:
    index = VectorIndex()
    index.add([1], random_vectors(1))
    with pytest.raises(LengthsDiffer, match="vectors of 5 numbers, and the stored ones have 64"):
        index.add([2, 3], [*random_vectors(1), b"short"])
    with pytest.raises(LengthsDiffer):
        index.search(b"short", 10)
    assert len(index) == 1


def test_searches_see_each_change_as_a_whole() -> None:
    first, second = random_vectors(2)
    index = VectorIndex()
    index.add([1], [first])
    problems: list[list[int]] = []
    is_over = threading.Event()

    def search() -> None:
        while not is_over.is_set():
            ids = sorted(chunk_id for chunk_id, _ in index.search(first, 100_000) if chunk_id > 1)
            if ids and ids != list(range(ids[0], ids[0] + 100)):
                problems.append(ids)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for start in range(100, 10_000, 100):
        index.add(range(start, start + 100), [second] * 100)
        index.remove(range(start, start + 100))
    is_over.set()
    for thread in threads:
        thread.join()
    assert problems == []
