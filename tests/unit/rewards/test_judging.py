"""One answer that a scorer cannot stand is a failed answer, and nothing more."""

import logging
import math
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from verl_spo.errors import ConfigError
from verl_spo.rewards.judging import judge
from verl_spo.rewards.scorers import SCORERS, Scorer
from verl_spo.rewards.verdicts import Verdict

pytestmark = pytest.mark.slow

# More than any machine needs: nothing here is to fail by the clock but what never ends.
PATIENT = 300.0


@pytest.mark.parametrize(("score", "reward"), [(-1, 0.0), (0, 0.5), (1, 1.0), (1 + 1e-12, 1.0)])
def test_a_score_becomes_a_reward_between_0_and_1(misbehaving, answer, score, reward) -> None:
    assert judge(misbehaving, answer(f"score {score}"), PATIENT) == Verdict(reward, "found")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("raise", "ValueError: 'raise'"),
        ("crash", "ProcessExpired"),
        ("exit", "ProcessExpired"),
        ("allocate 3", "MemoryError"),
        ("recurse", "RecursionError"),
        (f"score {math.nan}", "misbehaving gave the score nan"),
        ("score 1.5", r"misbehaving gave the score 1.5: it must lie in \[-1, 1\]"),
    ],
)
def test_what_goes_wrong_on_an_answer_is_logged_and_the_next_one_is_judged(
    misbehaving, answer, caplog, response, reason
) -> None:
    with caplog.at_level(logging.WARNING):
        assert judge(misbehaving, answer(response), PATIENT) is None
    assert caplog.records[0].message.startswith("misbehaving: no judgement, which counts as a failed answer")
    assert re.search(reason, caplog.text)
    assert f"data_source='competition' with the ground truth '42': {len(response)} characters" in caplog.text
    assert judge(misbehaving, answer("score 1"), PATIENT) == Verdict(1.0, "found")


@pytest.mark.parametrize("response", ["hang", "hang without releasing the interpreter"])
def test_a_judgement_that_hangs_is_ended_and_others_go_on_beside_it(misbehaving, answer, caplog, response) -> None:
    with ThreadPoolExecutor() as threads:
        hanging = [threads.submit(judge, misbehaving, answer(response), 1.0) for _ in range(3)]
        others = [threads.submit(judge, misbehaving, answer("score 1"), PATIENT) for _ in range(3)]
        assert [future.result() for future in others] == [Verdict(1.0, "found")] * 3
        assert [future.result() for future in hanging] == [None] * 3
    assert caplog.text.count("TimeoutError") == 3


def test_processes_are_kept(misbehaving, answer) -> None:
    assert len({judge(misbehaving, answer("pid"), PATIENT).found for _ in range(10)}) <= 2


def test_nothing_is_left_of_a_reward_worker_that_is_killed_while_a_judgement_hangs(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, psutil, sys, threading, time\n"
        "from verl_spo.rewards.judging import judge\n"
        "from verl_spo.rewards.scorers import Scorer\n"
        "from verl_spo.rewards.verdicts import Answer\n"
        "if __name__ == '__main__':\n"
        "    scorer = Scorer('x', 'tests.support.misbehaving', (), 'none', 0.0, 1.0, True)\n"
        "    answer = Answer('', 'hang after making ' + sys.argv[1], '', {})\n"
        "    threading.Thread(target=judge, args=(scorer, answer, 3.0), daemon=True).start()\n"
        "    while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\n"
        "    print(*[child.pid for child in psutil.Process().children()], flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "begun")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        children = [int(pid) for pid in worker.stdout.readline().split()]
    assert children
    for pid in children:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(PATIENT)


def test_a_scorer_that_is_not_installed_is_no_failed_answer(answer) -> None:
    missing = Scorer("tidy", "nowhere", ("no_such_package",), "math", low=0.0, high=1.0, isolated=True)
    with pytest.raises(ConfigError, match=r"name=tidy: needs what `pip install 'verl-spo\[math\]'` brings"):
        judge(missing, answer("42"), PATIENT)


@pytest.mark.parametrize("time_limit_s", [0, -1, math.nan])
def test_a_limit_of_nothing_is_refused(answer, time_limit_s) -> None:
    with pytest.raises(ConfigError, match=r"reward_kwargs.time_limit_s=.*must be above 0"):
        judge(SCORERS["math_dapo"], answer("42"), time_limit_s)
