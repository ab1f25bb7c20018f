from benchmarks import overhead


def test_a_row_has_every_part_and_the_total_covers_the_stages():
    row = overhead.measure(pool=200, batch=16, steps=3)
    assert (row["pool"], row["batch"]) == (200, 16)
    assert {f"{name}_ms" for name in (*overhead.PARTS, *overhead.STAGES)} <= set(row)
    assert row["total_cpu_ms"] > 0
    assert 0 < row["total_ms"] <= row["total_p95_ms"]


def test_the_model_step_is_timed_beside_it():
    row = overhead.model_step(batch=4)
    assert row["log_prob_ms"] > 0
    assert row["update_ms"] > 0


def test_the_table_is_markdown():
    assert overhead.table([{"pool": 10, "total_ms": 0.5}]) == "| pool | total_ms |\n| ---: | ---: |\n| 10 | 0.5 |"
