"""The blocks of the documentation are run as tests, in a folder with a small run in `demo/verl_spo.db`."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

from tests.support.stores import trained


def set_up(namespace: dict[str, Any]) -> None:
    """Go to a folder of the document's own."""
    namespace["_folder"], namespace["_back"] = TemporaryDirectory(), Path.cwd()
    os.chdir(namespace["_folder"].name)
    Path("demo").mkdir()
    trained("sqlite:///demo/verl_spo.db", steps=3)


def tear_down(namespace: dict[str, Any]) -> None:
    """Leave it."""
    os.chdir(namespace["_back"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], patterns=["*.md"], setup=set_up, teardown=tear_down
).pytest()
