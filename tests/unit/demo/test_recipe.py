import subprocess
import sys

import pytest

from verl_spo.demo.recipe import Recipe
from verl_spo.errors import DataError


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("seed", -1),
        ("steps", 0),
        ("batch_size", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("slip", -0.1),
        ("slip", 1.1),
        ("slip", float("nan")),
        ("hidden_size", 0),
        ("intermediate_size", 0),
        ("layers", 0),
        ("threads", 0),
    ],
)
def test_impossible_recipes_are_refused(option, value):
    with pytest.raises(DataError, match=option):
        Recipe(**{option: value})


def test_the_command_line_need_not_wait_for_torch():
    code = "import sys, verl_spo.cli.data; assert not {'torch', 'transformers', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
