"""A launcher and a trainer in processes of their own: the real launch and the real store, without verl.

`python -m tests.support.standing_in FOLDER BEHAVIOUR` launches, and says what `verl-spo train` would say.
"""

import os
import signal
import sys
import time
from pathlib import Path

from omegaconf import OmegaConf

from tests.support.crashing import restore, save
from tests.support.stores import info, start
from verl_spo.cli.train import told
from verl_spo.errors import RewardError
from verl_spo.launching.launch import Launch
from verl_spo.store.runs.status import Status
from verl_spo.training import launcher, phases

STEPS = 4
RUN = "demo/spo"


def store_url(folder: Path) -> str:
    return f"sqlite:///{folder}/verl_spo.db"


def launch(folder: Path, behaviour: str) -> Launch:
    """What `verl-spo train` makes of a recipe, with a trainer that behaves as told."""
    trainer = {
        "project_name": "demo",
        "experiment_name": "spo",
        "default_local_dir": str(folder / "checkpoints"),
        "resume_mode": "auto",
        "total_training_steps": STEPS,
        "v1": {"trainer_mode": "spo_sync"},
    }
    config = {"trainer": trainer, "spo": {"store": {"url": store_url(folder)}}, "ray_kwargs": {"ray_init": {}}}
    command = [sys.executable, "-m", "tests.support.standing_in", str(folder), behaviour, "as trainer"]
    return Launch(OmegaConf.create(config), command, {})


def train(folder: Path, behaviour: str) -> None:
    """Train, from the last checkpoint if there is one, until all steps are done or the launcher asks to stop."""
    phases.report(store_url(folder), RUN, "loading")
    if behaviour == "wait before the start":
        say_and_wait(behaviour)
    if behaviour == "fail before the start":
        print(f"HF_TOKEN={os.environ.get('HF_TOKEN')}", flush=True)
        raise RewardError("the model is not there")
    training = restore(folder)
    writer = start(store_url(folder), training, info(RUN, starter=launcher.starter()), training.step or None)
    status = Status.FINISHED
    while training.step < STEPS and status == Status.FINISHED:
        writer.submit(training.advance())
        if behaviour == "fail":
            writer.close(Status.FAILED)
            raise RewardError("reward 1.7 lies outside [0, 1]")
        if behaviour.endswith(f"in step {training.step}"):
            writer.flush()
            wait_for_request(behaviour)
        if behaviour == "ignore requests":
            writer.flush()
            say_and_wait(behaviour)
        if launcher.wants_stop() and behaviour == "be killed in step 1":
            os.kill(os.getpid(), signal.SIGTERM)
        if launcher.wants_stop() and training.step < STEPS:
            save(folder, training)
            status = Status.STOPPED
    writer.close(status)


def say_and_wait(behaviour: str) -> None:
    """Tell the test that the moment has come, and do nothing until something ends this process."""
    print(behaviour, flush=True)
    time.sleep(600)


def wait_for_request(behaviour: str) -> None:
    """Tell the test that the moment has come, and wait for the launcher's request."""
    print(behaviour, flush=True)
    while not launcher.wants_stop():
        time.sleep(0.01)


if __name__ == "__main__":
    folder, behaviour = Path(sys.argv[1]), sys.argv[2]
    if len(sys.argv) > 3:
        train(folder, behaviour)
    else:
        sys.exit(told(launch(folder, behaviour).run(shown=True)))
