"""Who votes for the same."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.evaluation.canonical import LONGEST, canonical
from verl_spo.evaluation.classes import votes


def links(*pairs: str):
    """An equality that holds between these pairs alone, each given as two characters."""
    return lambda one, other: one + other in pairs or other + one in pairs


@pytest.mark.parametrize(
    ("found", "equal", "expected"),
    [
        ([], None, []),
        (["", ""], None, ["", ""]),
        (["a", "b", "a"], None, ["a", "b", "a"]),
        (["b", "a", ""], links("ab"), ["a", "a", ""]),
        (["b", "a", "b"], links("ab"), ["b", "b", "b"]),
        (["a", "b", "c", "d"], links("ab", "bc"), ["a", "a", "a", "d"]),
        (["a", "b", "c", "d"], links("ad", "bc", "cd"), ["a", "a", "a", "a"]),
    ],
)
def test_equal_answers_have_one_vote_their_most_frequent(found, equal, expected) -> None:
    assert votes(found, equal=equal) == expected


def test_forms_are_compared_before_anything_else() -> None:
    assert votes(["$1$", "1.0", " 1", "2"], canonical) == ["1", "1", "1", "2"]
    assert votes(["$$", "1"], canonical) == ["", "1"]
    assert votes(["1", " 1"]) == ["1", " 1"]


def test_pairs_whose_answer_is_known_are_not_asked() -> None:
    asked: list[set[str]] = []

    def equal(one: str, other: str) -> bool:
        asked.append({one, other})
        return "a" in (one, other)

    long = "x" * (LONGEST + 1)
    votes(["1", "2", "-3", "a", "b", long], equal=equal)
    assert not any(long in pair or pair <= {"1", "2", "-3"} for pair in asked)
    # All are one class after "a".
    assert sum("b" in pair for pair in asked) <= 4
    assert len(asked) == len({frozenset(pair) for pair in asked})


FOUND = st.lists(st.sampled_from(["", *"abcdef", "1", "2"]), max_size=20)
PAIRS = st.sets(st.tuples(*[st.sampled_from("abcdef12")] * 2), max_size=8)


@given(FOUND, PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(found, pairs, random) -> None:
    def equal(one: str, other: str) -> bool:
        return (one, other) in pairs or (other, one) in pairs

    shuffled = random.sample(range(len(found)), len(found))
    expected = votes(found, equal=equal)
    assert votes([found[place] for place in shuffled], equal=equal) == [expected[place] for place in shuffled]


@given(FOUND, PAIRS)
def test_classes_are_connected_answers(found, pairs) -> None:
    """Against scipy's components."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    def equal(one: str, other: str) -> bool:
        return (one, other) in pairs or (other, one) in pairs

    distinct = sorted(set(filter(None, found)))
    edges = [
        (a, b)
        for a, one in enumerate(distinct)
        for b, other in enumerate(distinct)
        if equal(one, other) and not (one.isdigit() and other.isdigit())
    ]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    shape = (len(distinct), len(distinct))
    _, labels = (
        connected_components(coo_array(([1] * len(edges), (rows, columns)), shape=shape)) if distinct else (0, [])
    )
    label = dict(zip(distinct, labels, strict=True))
    given_votes = votes(found, equal=equal)
    for one, its in zip(found, given_votes, strict=True):
        for other, theirs in zip(found, given_votes, strict=True):
            assert (its == theirs) == (label.get(one) == label.get(other))
    counts = Counter(found)
    assert all(counts[vote] >= counts[one] for one, vote in zip(found, given_votes, strict=True) if one)
