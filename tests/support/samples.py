"""Samples of one problem, for property tests."""

import numpy as np
from hypothesis import strategies as st

scores = st.sampled_from([0.0, 0.5, 1.0])
samples = st.lists(st.tuples(st.integers(-1, 4), scores), min_size=1, max_size=9)
"""(vote, score) each; a vote of -1 abstains."""


def columns(rows):
    """Votes and scores."""
    return np.array([vote for vote, _ in rows]), np.array([score for _, score in rows])
