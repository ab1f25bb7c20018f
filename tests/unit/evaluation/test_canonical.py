"""Answers that are written differently and mean the same, and ones that only look so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hostile import HOSTILE
from verl_spo.evaluation.canonical import canonical

PIECES = st.one_of(
    st.sampled_from(list("0123456789 +-.,~$()[]{}|x\n\\\u2212")),
    st.sampled_from(["000", r"\{", r"\}", r"\left", r"\right", r"\(", r"\)", r"\[", r"\]", r"\,", "{,}", r"\quad"]),
    st.sampled_from([r"\frac", r"\dfrac", r"\text{", r"\boxed{"]),
)


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("  42\n", "42"),
        ("$42$", "42"),
        ("$$ 42 $$", "42"),
        (r"\(42\)", "42"),
        (r"\[ 42 \]", "42"),
        (r"\boxed{42}", "42"),
        (r"$\boxed{ \text{42} }$", "42"),
        ("+42", "42"),
        ("0042", "42"),
        ("42.", "42"),
        ("42.00", "42"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("-0.0", "0"),
        ("-007", "-7"),
        ("\u221242", "-42"),
        ("1,000", "1000"),
        ("1{,}000,000.50", "1000000.5"),
        (r"1\,000", "1000"),
        (r"1\!000", "1000"),
        ("-1,234", "-1234"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\tfrac12", r"\frac12"),
        (r"\frac {1} {2}", r"\frac{1}{2}"),
        (r"\left( 1, 2 \right)", "(1, 2)"),
        (r"\left\{1\right\}", r"\{1\}"),
        (r"x \quad + \; 1", "x+1"),
        (r"\text{Monday}", "Monday"),
        (r"\mathrm{A}", "A"),
        ("$$", ""),
        ("", ""),
    ],
)
def test_what_does_not_matter_is_left_out(answer: str, form: str) -> None:
    assert canonical(answer) == form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1, 234", "1,234"),
        ("1,23", "123"),
        ("0,123", "123"),
        ("1 2", "12"),
        (r"\pi x", r"\pix"),
        (r"\leftarrow", "arrow"),
        (r"\text{a}+\text{b}", "a}+\\text{b"),
        ("$a$ and $b$", "a$ and $b"),
        (r"\(a\) and \(b\)", r"a\) and \(b"),
        (r"a\\ b", r"a\b"),
        (r"a\\left(b", r"a\(b"),
        ("да нет", "данет"),
        (r"\left.x\right|", "x"),
        ("42", "-42"),
        ("50%", "50"),
        (r"5\text{ cm}", "5"),
        ("x", "X"),
        ("\u0664\u0662", "42"),
    ],
)
def test_what_may_matter_is_not(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@given(st.lists(PIECES, max_size=20).map("".join) | st.text())
def test_a_canonical_form_is_its_own(answer: str) -> None:
    assert canonical(canonical(answer)) == canonical(answer)


@given(st.integers())
def test_whole_numbers_keep_their_value(number: int) -> None:
    for written in (str(number), f"{number:,}", f"{number:+}", f"{number}.0", rf"$\boxed{{{number}}}$", f"{number:05}"):
        assert canonical(written) == str(number)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_decimal_numbers_keep_their_value(number) -> None:
    assert float(canonical(f"{number:f}")) == float(number)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_have_one(name: str) -> None:
    assert canonical(canonical(HOSTILE[name])) == canonical(HOSTILE[name])
