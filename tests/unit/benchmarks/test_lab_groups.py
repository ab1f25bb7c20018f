"""The lab's methods with groups, held against verl's own estimators."""

import numpy as np
import pytest
import torch
from verl.trainer.ppo.core_algos import get_adv_estimator_fn

from benchmarks.learning.lab.collecting import MOST_DRAWS, collect
from benchmarks.learning.lab.methods.groups import GROUP, METHODS, DynamicGRPO
from benchmarks.learning.lab.policy import Policy, Samples, Tokens

WIDTH = 6
IN_VERL = {
    "grpo": "grpo",
    "rloo": "rloo",
    "reinforce++, group baseline": "reinforce_plus_plus_baseline",
    "opo": "opo",
    "optimal token baseline": "optimal_token_baseline",
}


class Known(Policy):
    """A policy of which only the sum of its squared probabilities matters."""

    def __init__(self, samples: Samples, squares: torch.Tensor) -> None:
        self._found = ((1 - 2 * samples.log_probs.exp() + squares) * samples.tokens.mask).double().numpy()

    def squared_logit_gradients(self, tokens: Tokens) -> np.ndarray:
        return self._found


def batch(rng: np.random.Generator, groups: int) -> tuple[Samples, np.ndarray]:
    """Random responses of 1 to 6 tokens, and rewards of which some groups are all alike."""
    n = groups * GROUP
    lengths = torch.from_numpy(rng.integers(1, WIDTH + 1, n))
    real = (torch.arange(WIDTH)[None] < lengths[:, None]).long()
    log_probs = -torch.from_numpy(rng.exponential(0.5, (n, WIDTH))).float() * real
    rewards = rng.integers(0, 2, n).astype(float)
    rewards[:GROUP] = 1.0
    return Samples(Tokens(torch.ones(n, WIDTH, dtype=torch.int64), real, 0), log_probs), rewards


@pytest.mark.parametrize("name", IN_VERL)
@pytest.mark.parametrize("seed", range(5))
def test_advantages_are_verls(name, seed):
    rng = np.random.default_rng(seed)
    samples, rewards = batch(rng, groups=4)
    squares = torch.from_numpy(rng.uniform(0, 1, (len(rewards), WIDTH))).float()
    method = METHODS[name](4, seed, Known(samples, squares))
    ours = method.advantages(1, np.zeros(len(rewards), dtype=int), samples, rewards, [])

    mask = samples.tokens.mask
    scores = torch.zeros_like(mask)
    scores[torch.arange(len(rewards)), mask.sum(1).long() - 1] = torch.from_numpy(rewards).float()
    more = {"old_log_probs": samples.log_probs, "sum_pi_squared": squares} if "token" in name else {}
    theirs, _ = get_adv_estimator_fn(IN_VERL[name])(
        token_level_rewards=scores,
        response_mask=mask,
        index=np.repeat(np.arange(4), GROUP),
        **more,
    )
    expected = ours.reshape(len(rewards), -1) * mask.numpy()
    np.testing.assert_allclose(theirs.numpy(), expected, atol=2e-4)


class Scripted:
    """A task whose groups are rewarded as a script says."""

    def __init__(self, mixed: list[bool]) -> None:
        self.prompts = Tokens(torch.ones(64, 1, dtype=torch.int64), torch.ones(64, 1, dtype=torch.int64), 1)
        self._mixed = iter(mixed)

    def rewards(self, slots: np.ndarray, tokens: Tokens) -> np.ndarray:
        return np.concatenate(
            [np.eye(1, GROUP)[0] if next(self._mixed) else np.ones(GROUP) for _ in range(len(slots) // GROUP)]
        )


class OneToken(Policy):
    """A policy whose every answer is one token."""

    def __init__(self) -> None:
        pass

    def sample(self, prompts: Tokens, generator: torch.Generator) -> Samples:
        ones = torch.ones(len(prompts.ids), 1, dtype=torch.int64)
        return Samples(
            Tokens(torch.cat([prompts.ids, ones], 1), torch.cat([prompts.real, ones], 1), 1), torch.zeros(len(ones), 1)
        )


def collected(mixed: list[bool]):
    policy = OneToken()
    return collect(DynamicGRPO(64, 0, policy), Scripted(mixed), policy, 2 * GROUP, torch.Generator())


def test_groups_without_a_signal_are_thrown_away_and_counted():
    found = collected([True, False, False, True, True, True])
    assert len(found) == 2 * GROUP
    assert (np.ptp(found.rewards.reshape(-1, GROUP), axis=1) > 0).all()
    assert (found.generated, found.tokens) == (4 * GROUP, 4 * GROUP)


def test_a_batch_is_not_waited_for_without_end():
    found = collected([False] * 2 * MOST_DRAWS)
    assert (len(found), found.generated) == (0, 2 * MOST_DRAWS * GROUP)
    assert len(collected([False] * (2 * MOST_DRAWS - 1) + [True])) == GROUP
