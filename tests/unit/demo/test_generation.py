import pytest
import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from verl_spo.demo.generation import generate


@pytest.fixture(scope="module")
def model(tokenizer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            initializer_range=0.5,
        )
        model = Qwen3ForCausalLM(config).eval()
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model


@pytest.fixture
def prompts(tokenizer):
    return [tokenizer.encode(text) for text in ("1+1=", "123+4567=", "7", "99-1=\n")]


def test_greedy_responses_are_those_of_transformers(model, tokenizer, prompts):
    ours = generate(model, prompts, max_new_tokens=6, temperature=0.0)
    for number, prompt in enumerate(prompts):
        theirs = model.generate(torch.tensor([prompt]), max_new_tokens=6, do_sample=False)[0, len(prompt) :]
        kept = ours.tokens[number][ours.mask[number].bool()]
        assert kept.tolist() == theirs.tolist()


def test_each_response_is_the_same_alone_and_in_a_batch(model, prompts):
    together = generate(model, prompts, max_new_tokens=5, temperature=0.0)
    for number, prompt in enumerate(prompts):
        alone = generate(model, [prompt], max_new_tokens=5, temperature=0.0)
        kept = together.tokens[number][together.mask[number].bool()]
        assert kept.tolist() == alone.tokens[0][alone.mask[0].bool()].tolist()


def test_shapes_padding_and_masks(model, tokenizer, prompts):
    responses = generate(model, prompts, max_new_tokens=4, generator=torch.Generator().manual_seed(0))
    longest = max(map(len, prompts))
    assert responses.prompts.shape == responses.prompt_mask.shape == (4, longest)
    assert responses.tokens.shape == responses.mask.shape
    for ids, mask, prompt in zip(responses.prompts, responses.prompt_mask, prompts, strict=True):
        assert ids[mask.bool()].tolist() == prompt
        assert mask.tolist() == [0] * (longest - len(prompt)) + [1] * len(prompt)
    assert (responses.tokens[responses.mask == 0] == tokenizer.pad_token_id).all()


def test_a_response_stops_at_its_end_token(model, tokenizer, prompts, monkeypatch):
    free = generate(model, prompts, max_new_tokens=6, temperature=0.0)
    end = int(free.tokens[1, 2])
    monkeypatch.setattr(model.generation_config, "eos_token_id", end)
    stopped = generate(model, prompts, max_new_tokens=6, temperature=0.0)
    for tokens, mask in zip(stopped.tokens, stopped.mask, strict=True):
        kept = tokens[mask.bool()].tolist()
        assert end not in kept[:-1]
        assert kept[-1] == end or len(kept) == 6
    assert int(stopped.mask[1].sum()) <= 3


def test_a_batch_that_has_ended_stops_early(model, prompts, monkeypatch):
    first = int(generate(model, prompts[:1], max_new_tokens=1, temperature=0.0).tokens[0, 0])
    monkeypatch.setattr(model.generation_config, "eos_token_id", first)
    assert generate(model, prompts[:1], max_new_tokens=50, temperature=0.0).tokens.tolist() == [[first]]


def test_chance_comes_from_the_generator(model, prompts):
    def sample(seed):
        return generate(model, prompts, max_new_tokens=5, generator=torch.Generator().manual_seed(seed)).tokens.tolist()

    before = torch.random.get_rng_state()
    assert sample(0) == sample(0)
    assert sample(0) != sample(1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sampling_follows_the_models_distribution(model, tokenizer):
    prompt = tokenizer.encode("3+4=")
    generator = torch.Generator().manual_seed(0)
    drawn = generate(model, [prompt] * 20_000, max_new_tokens=1, temperature=2.0, generator=generator).tokens[:, 0]
    with torch.no_grad():
        expected = (model(input_ids=torch.tensor([prompt])).logits[0, -1] / 2.0).softmax(dim=-1)
    observed = torch.bincount(drawn, minlength=len(tokenizer)) / len(drawn)
    torch.testing.assert_close(observed, expected, atol=0.015, rtol=0)


def test_texts_are_what_a_reward_function_sees(model, tokenizer, prompts):
    responses = generate(model, prompts, max_new_tokens=6, temperature=0.0)
    expected = [
        tokenizer.decode(tokens[mask.bool()], skip_special_tokens=True)
        for tokens, mask in zip(responses.tokens, responses.mask, strict=True)
    ]
    assert responses.texts(tokenizer) == expected
