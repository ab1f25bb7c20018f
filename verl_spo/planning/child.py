"""The process that builds: questions as lines of JSON on stdin, answers on stdout, all other output on stderr."""

import json
import os
import sys
from typing import Any

from verl_spo.planning import huggingface, megatron


def main() -> None:
    """Answer questions (`building.build` asks them) until there are no more."""
    # Libraries print to stdout, also from C.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    builder = megatron if asked["layout"]["engine"] == "megatron" else huggingface
    try:
        stages = builder.stages(asked)
    except (AssertionError, ImportError, RuntimeError, TypeError, ValueError) as error:
        # What megatron-core says of layouts that it cannot have.
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"stages": stages, "flops": _flops(asked)}


def _flops(asked: dict[str, Any]) -> float:
    """Forward and backward pass as verl counts them for its MFU (verl/utils/flops_counter.py)."""
    if not asked["sequences"]:
        return 0.0
    from transformers import AutoConfig
    from verl.utils.flops_counter import ESTIMATE_FUNC

    config, lengths = AutoConfig.from_pretrained(asked["folder"]), asked["sequences"]
    # Per second of the time that passed: one.
    return float(ESTIMATE_FUNC[config.model_type](config, sum(lengths), lengths, 1.0)) * 1e12


if __name__ == "__main__":
    main()
