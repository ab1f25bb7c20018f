"""`verl-spo`: every command, put together."""

from verl_spo.cli import dashboard, data, db, demo, doctor, prompts, runs, train, transfer
from verl_spo.cli.app import App

app = App(help="Single-stream Policy Optimization (SPO) for verl.", no_args_is_help=True)
app.command("demo")(demo.demo)
app.command("train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train.train)
app.command("recipes")(train.recipes)
app.command("dashboard")(dashboard.dashboard)
app.command("doctor")(doctor.doctor)
app.add_typer(runs.app, name="runs")
app.add_typer(prompts.app, name="prompts")
app.add_typer(data.app, name="data")
app.add_typer(db.app, name="db")
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
