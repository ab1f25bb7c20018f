"""The policy loss: verl's PPO-clip to the bit, and one measurement."""

import types

import pytest
import torch

from verl_spo.training import policy_loss


def vanilla(old_log_prob: torch.Tensor, log_prob: torch.Tensor, response_mask: torch.Tensor, **kwargs: object) -> tuple:
    """Stands for verl's: what matters is that it gets everything and that its result comes back."""
    return (log_prob - old_log_prob).sum() * kwargs["scale"], {"actor/ppo_kl": 0.25}


@pytest.fixture
def loss() -> object:
    registered: dict[str, object] = {}

    def register_policy_loss(name: str) -> object:
        return lambda function: registered.setdefault(name, function)

    policy_loss.register(
        types.SimpleNamespace(compute_policy_loss_vanilla=vanilla, register_policy_loss=register_policy_loss)
    )
    return registered["spo"]


def test_the_loss_is_verls_and_the_change_is_over_generated_tokens(loss: object) -> None:
    old, new = torch.zeros(2, 2), torch.tensor([[0.5, -1.0], [-0.1, 9.0]], requires_grad=True)
    mask = torch.tensor([[1, 1], [1, 0]])
    value, metrics = loss(old_log_prob=old, log_prob=new, response_mask=mask, scale=2.0)
    assert value.item() == pytest.approx(2 * 8.4)
    value.backward()
    assert new.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert metrics == {"actor/ppo_kl": 0.25, "actor/log_ratio_abs": pytest.approx((0.5 + 1.0 + 0.1) / 3)}


def test_a_micro_batch_of_padding_has_no_change(loss: object) -> None:
    _, metrics = loss(
        old_log_prob=torch.zeros(1, 2), log_prob=torch.ones(1, 2), response_mask=torch.zeros(1, 2), scale=1
    )
    assert metrics["actor/log_ratio_abs"] == 0.0


def test_what_the_first_mini_batch_of_a_step_saw_is_logged_apart() -> None:
    seen = {"actor/log_ratio_abs": [0.01, 0.02, 0.06], "actor/ppo_kl": [0.1, 0.1, 0.1]}
    part = 0
    update = policy_loss.with_noise(lambda batch: {"metrics": dict(batch)}, lambda: part == 0)
    assert update(seen)["metrics"] == {**seen, "actor/log_ratio_noise": [0.01]}
    assert update({"actor/ppo_kl": [0.1]})["metrics"] == {"actor/ppo_kl": [0.1]}
    part = 1
    assert update(seen)["metrics"] == seen
