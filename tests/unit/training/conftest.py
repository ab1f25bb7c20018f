from pathlib import Path

import pytest

from tests.support import configured


@pytest.fixture
def demo_dir(tmp_path: Path) -> Path:
    """What the recipe wants to find, as small as it may be."""
    configured.make_files(tmp_path)
    return tmp_path
