"""What users bring of their own: a data set without a table, a reward, a model of another architecture."""

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM

from verl_spo.demo.tokenizer import VOCABULARY, build_tokenizer

ROWS = 64


class Letters(Dataset[dict[str, Any]]):
    """Rows as verl's agent loop wants them, made on the fly; `data.custom_cls` names it."""

    def __init__(self, data_files: Any, tokenizer: Any, config: Any, **unused: Any) -> None:
        self.files = data_files

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> dict[str, Any]:
        letters = f"{chr(97 + row % 26)}{chr(97 + row // 26)}"
        return {
            "raw_prompt": [{"role": "user", "content": f"Write {letters}."}],
            "data_source": "letters",
            "reward_model": {"style": "rule", "ground_truth": [letters, letters.upper()]},
            "index": row,
            # verl makes no batch without a tensor.
            "dummy_tensor": torch.tensor([0], dtype=torch.uint8),
        }


def compute_score(data_source: str, solution_str: str, ground_truth: list[str], **unused: Any) -> float:
    """Share of letters among the first characters: in between for a model that has learnt nothing."""
    assert len(ground_truth) == 2
    first = solution_str[:4]
    return sum(character.isalpha() for character in first) / 4


def save_llama(folder: Path) -> None:
    """Write a Llama with random weights that answers with any characters."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        tie_word_embeddings=False,
    )
    tokenizer = build_tokenizer()
    config.eos_token_id, config.pad_token_id, config.bos_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id, None
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
