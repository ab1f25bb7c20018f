"""A character tokenizer for tiny models: printable ASCII, the chat roles, and Qwen's markers."""

from collections.abc import Sequence
from string import digits

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, TURN_START, TURN_END, UNKNOWN = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|unknown|>"
_MARKERS = (PAD, TURN_START, TURN_END, UNKNOWN)
_ROLES = ("assistant", "system", "user")
_CHARACTERS = sorted({"\n", *map(chr, range(32, 127))} - set(digits))
VOCABULARY = (*_MARKERS, *digits, *_ROLES, *_CHARACTERS)

_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{TURN_START}{{{{ message['role'] }}}}\n{{{{ message['content'] }}}}{TURN_END}\n"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{TURN_START}assistant\n{{% endif %}}"
)


def build_tokenizer(multiple: int = 1) -> PreTrainedTokenizerFast:
    """A fast tokenizer whose ids are 0 .. len(VOCABULARY) - 1: one a character, role or marker.

    A character outside printable ASCII becomes `UNKNOWN`; anything else survives a round trip. Tokens that no text
    has fill the vocabulary up to a multiple of `multiple`, where ranks shall share it evenly.
    """
    unused = [f"<|unused_{number}|>" for number in range(-len(VOCABULARY) % multiple)]
    ids = {token: i for i, token in enumerate((*VOCABULARY, *unused))}
    backend = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(f"{'|'.join(_ROLES)}|[\\s\\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=TURN_END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[TURN_START],
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def encode_questions(tokenizer: PreTrainedTokenizerFast, questions: Sequence[str]) -> list[list[int]]:
    """Token ids of each question as the user's only message, up to where the assistant begins to write."""
    chats = [[{"role": "user", "content": question}] for question in questions]
    texts: list[str] = tokenizer.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
