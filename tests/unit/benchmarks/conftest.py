"""The benchmarks' models are microscopic."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.learning.lab.task import Task, make_task
from verl_spo.demo.arithmetic import make_prompt_set
from verl_spo.demo.tokenizer import VOCABULARY, build_tokenizer

# Threads cost such small models more than they bring.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def task() -> Task:
    """The lab's task with a model that knows nothing; policies are copies of it."""
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    prompts = make_prompt_set(train=32, validation=8)
    return make_task(prompts.train, prompts.validation, build_tokenizer(), Qwen3ForCausalLM(shape), "random")
