from benchmarks import scale


def test_a_line_has_what_its_column_says():
    pool, memory, small, large, size, written, read = scale.of_pool(1000, [16, 4096])
    assert (pool, large) == ("1,000", "")
    assert float(small) > 0
    # 56 bytes a prompt, and the zip's own.
    assert 0.05 < float(size) < 0.3
    assert all(float(figure) >= 0 for figure in (written, read))
    assert float(memory) > -5


def test_a_responses_bytes_are_those_of_its_arrays():
    tokens, memory, kept = scale.of_responses(100)
    # 4 bytes a token of the prompt, 9 of the response, 24 for its slot and lengths.
    assert (tokens, kept) == ("100", f"{(4 * scale.PROMPT_TOKENS + 9 * 100 + 24) / 1e3:.1f}")
    assert float(memory) < 5
