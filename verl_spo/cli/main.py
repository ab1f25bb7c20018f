"""`verl-spo`: every command, put together."""

from verl_spo.cli import data
from verl_spo.cli.app import App
from verl_spo.cli.dashboard import dashboard
from verl_spo.cli.demo import demo
from verl_spo.cli.doctor import doctor
from verl_spo.cli.train import recipes, train

HYDRA_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}

app = App(help="Single-stream Policy Optimization (SPO) for verl.", no_args_is_help=True)
app.command(context_settings=HYDRA_ARGUMENTS)(demo)
app.command(context_settings=HYDRA_ARGUMENTS)(train)
app.command()(recipes)
app.command()(dashboard)
app.command()(doctor)
app.add_typer(data.app, name="data")
