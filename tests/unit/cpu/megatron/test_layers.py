"""A model of megatron-core's with the stand-ins is the Hugging Face model whose weights it has."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, multiprocessing
from transformers import Qwen3ForCausalLM

from tests.support import megatron_model
from tests.support.models import strong_model

pytestmark = pytest.mark.slow


def expected(model: Qwen3ForCausalLM, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probs of the next tokens, the first after the last; the gradient of the first norm's weights."""
    logits = model(input_ids=tokens).logits
    log_probs = logits.log_softmax(-1).gather(-1, tokens.roll(-1, 1).unsqueeze(-1)).squeeze(-1)
    torch.autograd.backward(-log_probs.mean())
    gradient = model.model.layers[0].input_layernorm.weight.grad
    assert gradient is not None
    return log_probs.detach(), gradient


@pytest.mark.parametrize(("ranks", "packed"), [(1, False), (1, True), (2, True)])
def test_log_probs_and_gradients_are_the_hugging_face_models(tmp_path: Path, ranks: int, packed: bool) -> None:
    model = strong_model(tmp_path)
    tokens = torch.randint(0, 104, (3, 8), generator=torch.Generator().manual_seed(1))
    multiprocessing.spawn(megatron_model.log_probs, args=(tmp_path, tokens, packed, ranks), nprocs=ranks)
    log_probs, gradient = torch.load(tmp_path / "megatron.pt")
    wanted_log_probs, wanted_gradient = expected(model, tokens)
    assert wanted_log_probs.std() > 1
    torch.testing.assert_close(log_probs, wanted_log_probs, atol=1e-4, rtol=1e-4)
    assert wanted_gradient.abs().max() > 1e-3
    torch.testing.assert_close(gradient, wanted_gradient, atol=1e-5, rtol=1e-3)
