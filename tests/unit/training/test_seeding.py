"""Which responses share their noise."""

from verl_spo.training.seeding import FIELD, request_seed


def test_each_request_of_training_has_its_own_seed() -> None:
    seeds = {request_seed({"uid": f"u{uid}", "session_id": session}) for uid in range(50) for session in range(4)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert request_seed({"uid": "u1", "session_id": 2}) == request_seed({"uid": "u1", "session_id": 2})


def test_what_a_row_says_of_its_problem_goes_before_the_request() -> None:
    first, second = ({"uid": uid, "session_id": 0, FIELD: "abc/0"} for uid in ("one", "other"))
    assert request_seed(first) == request_seed(second)
    assert request_seed({**first, "session_id": 1}) != request_seed(first)
    assert request_seed({**first, FIELD: "abc/1"}) != request_seed(first)
