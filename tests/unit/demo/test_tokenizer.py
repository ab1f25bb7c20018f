import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from verl_spo.demo.problems import Problem
from verl_spo.demo.tokenizer import PAD, TURN_END, TURN_START, UNKNOWN, VOCABULARY, encode_questions

printable = st.text(st.sampled_from([*map(chr, range(32, 127)), "\n"]))


def test_every_id_is_one_token(tokenizer):
    assert len(tokenizer) == tokenizer.vocab_size == len(VOCABULARY) == len(set(VOCABULARY))
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) == list(VOCABULARY)
    for token, number in tokenizer.get_vocab().items():
        assert tokenizer.encode(token, add_special_tokens=False) == [number]


@given(printable)
def test_printable_text_survives_a_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), skip_special_tokens=False) == text


@given(st.text())
def test_any_text_is_tokenized(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert all(0 <= number < len(tokenizer) for number in ids)


def test_other_characters_are_unknown(tokenizer):
    assert tokenizer.tokenize("1\u00e92") == ["1", UNKNOWN, "2"]


@given(st.integers(-(10**9), 10**9))
def test_digits_are_single_tokens(tokenizer, number):
    assert tokenizer.tokenize(str(number)) == list(str(number))


def test_chat_template(tokenizer):
    chat = [{"role": "system", "content": "Be right."}, {"role": "user", "content": "1+1="}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|im_start|>system\nBe right.<|im_end|>\n<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.apply_chat_template(chat, tokenize=False) + "<|im_start|>assistant\n" == text


def test_encoded_questions_are_what_verl_sends(tokenizer):
    questions = [Problem(1, 23).question, Problem(4567, 8).question]
    expected = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        for question in questions
    ]
    assert encode_questions(tokenizer, questions) == expected
    assert max(map(len, expected)) <= 32


def test_markers(tokenizer):
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token) == (TURN_END, PAD, UNKNOWN)
    assert tokenizer.bos_token is None
    marked = tokenizer.encode(f"{TURN_START}12{TURN_END}{PAD}", add_special_tokens=False)
    assert tokenizer.decode(marked, skip_special_tokens=True) == "12"


@pytest.mark.parametrize("text", ["12+34=\n", "<|im_start|>assistant\n46<|im_end|>"])
def test_a_saved_tokenizer_loads_the_same(tokenizer, tmp_path, text):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.is_fast
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.decode(loaded.encode(text)) == text
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.eos_token_id, loaded.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
