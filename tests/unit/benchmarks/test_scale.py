from benchmarks import scale


def test_a_line_has_what_its_column_says():
    pool, memory, large, small, size, written, read = scale.of_pool(1000, [4096, 16])
    assert (pool, large) == ("1,000", "")
    assert 0 < float(small) < 1000
    # 56 bytes a prompt, and the zip's own.
    assert 0.05 < float(size) < 0.3
    assert float(written) < 10 > float(read)
    assert float(memory) < 50


def test_a_responses_bytes_are_those_of_its_arrays():
    tokens, memory, kept = scale.of_responses(100)
    # 4 bytes a token of the prompt, 9 of the response, 24 for its slot and lengths.
    assert (tokens, kept) == ("100", f"{(4 * scale.PROMPT_TOKENS + 9 * 100 + 24) / 1e3:.1f}")
    assert float(memory) < 5
