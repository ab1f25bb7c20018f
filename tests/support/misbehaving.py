"""A scorer that does what the response says, and what an answer says: what they have done to parsers."""

import os
import time
from pathlib import Path

from verl_spo.rewards.verdicts import Answer, Verdict


def judge(answer: Answer) -> Verdict:
    match answer.response.split():
        case ["score", number]:
            return Verdict(float(number), "found")
        case ["answer", answer]:
            return Verdict(0.0, answer)
        case ["hang"]:
            time.sleep(3600)
        case ["hang", "without", "releasing", "the", "interpreter"]:
            9**9**9**9
        case ["hang", "after", "making", path]:
            Path(path).touch()
            9**9**9**9
        case ["crash"]:
            os.abort()
        case ["exit"]:
            os._exit(3)
        case ["allocate", gibibytes]:
            return Verdict(float(len(bytearray(int(gibibytes) * 1024**3)) > 0), "room")
        case ["recurse"]:
            return judge(answer)
        case ["pid"]:
            return Verdict(1.0, str(os.getpid()))
    raise ValueError(answer.response)


def equal(answers: tuple[str, str]) -> bool:
    match answers[0]:
        case "hangs":
            time.sleep(3600)
        case "raises":
            raise ValueError(answers)
    return answers[0].lower() == answers[1].lower()
