"""What verl sees of verl-spo: the entry point of its group `verl.plugins`.

verl loads it in the driver, the TaskRunner and every worker, while verl itself is still being imported. So this module
imports nothing of verl's trainer: each part registers itself when verl imports the module that holds its registry.
Most workers start as fast as without the plug-in (agent-loop workers import verl's trainers, and so SPO's), and an
error in a part is raised where verl needs the part: verl hides what fails in the entry point itself
(verl/__init__.py:60-78).
"""

from types import ModuleType

import wrapt

from verl_spo import cpu
from verl_spo.training import quiet


def _register_losses_and_estimator(core_algos: ModuleType) -> None:
    from verl_spo.training import estimator, policy_loss

    estimator.register(core_algos)
    policy_loss.register(core_algos)


def _register_trainers(trainer_base: ModuleType) -> None:
    from verl_spo.training import evaluation, trainers  # noqa: F401


def _register_agent_loop(single_turn_agent_loop: ModuleType) -> None:
    from verl_spo.training import agent_loop  # noqa: F401


def _add_recipes(hydra: ModuleType) -> None:
    from verl_spo.launching import search_path

    search_path.register()


def _add_resolvers(omegaconf: ModuleType) -> None:
    from verl_spo.launching import recipes

    recipes.register_resolvers()


cpu.activate()
quiet.activate()
wrapt.register_post_import_hook(_register_losses_and_estimator, "verl.trainer.ppo.core_algos")
wrapt.register_post_import_hook(_register_trainers, "verl.trainer.ppo.v1.trainer_base")
wrapt.register_post_import_hook(_register_agent_loop, "verl.experimental.agent_loop.single_turn_agent_loop")
wrapt.register_post_import_hook(_add_recipes, "hydra")
wrapt.register_post_import_hook(_add_resolvers, "omegaconf")
