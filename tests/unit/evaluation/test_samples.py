import pytest

from verl_spo.errors import ConfigError, DataError, RewardError, SPOError
from verl_spo.evaluation.majority import majority_at
from verl_spo.evaluation.measures import all_pass_at, average, pass_at
from verl_spo.evaluation.samples import ABSTAINS, number_answers
from verl_spo.evaluation.verl_majority import verl_majority_at

OF_K = [
    pass_at,
    all_pass_at,
    lambda k, scores: majority_at(k, [0] * len(scores), scores),
    lambda k, scores: verl_majority_at(k, [0] * len(scores), scores),
]


def test_equal_answers_get_one_number_and_empty_ones_abstain():
    assert number_answers(["12", "", "7", "12", " 7"]).tolist() == [0, ABSTAINS, 1, 0, 2]
    assert number_answers([]).tolist() == []


@pytest.mark.parametrize("measure", OF_K)
@pytest.mark.parametrize("k", [-1, 0, 4])
def test_more_samples_than_there_are_cannot_be_judged(measure, k):
    with pytest.raises(ConfigError, match=f"k={k}: a problem has 3 samples; choose 1 to 3, or sample more"):
        measure(k, [0.0, 1.0, 1.0])


@pytest.mark.parametrize("measure", [*OF_K, lambda _, scores: average(scores)])
@pytest.mark.parametrize("score", [-0.1, 1.5, float("nan")])
def test_scores_lie_between_0_and_1(measure, score):
    with pytest.raises(RewardError, match=f"score={score:g}"):
        measure(1, [1.0, score])


@pytest.mark.parametrize("scores", [[], [[1.0]], 1.0])
def test_scores_are_a_list(scores):
    with pytest.raises(DataError, match="scores of shape"):
        average(scores)


@pytest.mark.parametrize("measure", [majority_at, verl_majority_at])
@pytest.mark.parametrize(
    ("votes", "what"), [([0], "votes of shape"), ([0, 1, 2], "votes of shape"), ([0, -2], "vote=-2")]
)
def test_every_sample_has_a_vote(measure, votes, what):
    with pytest.raises(SPOError, match=what):
        measure(1, votes, [1.0, 0.0])
