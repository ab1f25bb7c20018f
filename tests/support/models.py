"""Tiny models for parity tests."""

from pathlib import Path

import torch
from transformers import Qwen3ForCausalLM

from verl_spo.demo.pretraining import model_config
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tokenizer import build_tokenizer


def strong_model(folder: Path) -> Qwen3ForCausalLM:
    """Save one, as `model/`, whose weights and norms are far from where they start: a wrong mapping would show."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(multiple=8)
    model = Qwen3ForCausalLM(model_config(Recipe(layers=2), tokenizer))
    for name, parameter in model.named_parameters():
        parameter.data = torch.rand_like(parameter) + 0.5 if "norm" in name else torch.randn_like(parameter) * 0.15
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return model
