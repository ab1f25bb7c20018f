"""`python -m verl_spo`, the same as `verl-spo`."""

from verl_spo.cli.main import app

app()
