"""The server's process. It imports what pages need before it answers, so that the first look is as fast as the next."""

import sys

import pyarrow  # noqa: F401
from streamlit.web.cli import main

from verl_spo.dashboard import one_prompt, panels  # noqa: F401
from verl_spo.dashboard.server import APP

if __name__ == "__main__":
    main(["run", str(APP), *sys.argv[1:]])
