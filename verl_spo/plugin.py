"""What verl sees of verl-spo: the entry point of its group `verl.plugins`.

verl loads it in the driver, the TaskRunner and every worker, while verl itself is still being imported. So this module
imports nothing of verl's trainer: each part registers itself when verl imports the module that holds its registry. That
keeps workers' start-up as fast as without the plug-in, and an error in a part is raised where verl needs the part
(verl hides whatever fails in the entry point itself, verl/__init__.py:60-78).
"""

from types import ModuleType

import wrapt

from verl_spo.training import cpu


def _register_losses_and_estimator(core_algos: ModuleType) -> None:
    from verl_spo.training import estimator, policy_loss

    estimator.register(core_algos)
    policy_loss.register(core_algos)


def _register_trainers(trainer_base: ModuleType) -> None:
    from verl_spo.training import trainers  # noqa: F401


def _register_agent_loop(single_turn_agent_loop: ModuleType) -> None:
    from verl_spo.training import agent_loop  # noqa: F401


cpu.activate()
wrapt.register_post_import_hook(_register_losses_and_estimator, "verl.trainer.ppo.core_algos")
wrapt.register_post_import_hook(_register_trainers, "verl.trainer.ppo.v1.trainer_base")
wrapt.register_post_import_hook(_register_agent_loop, "verl.experimental.agent_loop.single_turn_agent_loop")
