"""A recipe's plan: memory per GPU against the limit, FLOPs and seconds per step."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_spo.planning import advice, building, memory, models, rollout, settings, timing
from verl_spo.planning.advice import Needs, Problem
from verl_spo.planning.hardware import Hardware
from verl_spo.planning.memory import TrainingMemory
from verl_spo.planning.rollout import RolloutMemory
from verl_spo.planning.settings import Generation, Training, Work
from verl_spo.planning.sizes import GIB
from verl_spo.planning.timing import StepTime
from verl_spo.training.architecture import Architecture


@dataclass(frozen=True)
class Plan:
    """What a recipe needs.

    Attributes:
        folder: With the model's `config.json`.
        model, training, generation, work: What of the recipe decides.
        hardware: What is assumed of a GPU.
        memory, rollout: Bytes of one GPU, the one that needs the most.
        needs: Bytes of each phase.
        problems: What cannot fit.
        flops: Forward and backward pass of a step's trajectories.
        seconds: Of a step.
    """

    folder: Path
    model: Architecture
    training: Training
    generation: Generation
    work: Work
    hardware: Hardware
    memory: TrainingMemory
    rollout: RolloutMemory
    needs: Needs
    problems: tuple[Problem, ...]
    flops: float
    seconds: StepTime

    @property
    def fits(self) -> bool:
        """Whether every phase does."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """For JSON: sizes in bytes, times in seconds."""
        training = asdict(self.training)
        return {
            "fits": self.fits,
            "problems": [{**asdict(each), "knobs": list(each.knobs)} for each in self.problems],
            "model": {"folder": str(self.folder), "parameters": self.model.parameters},
            "training": training,
            "generation": asdict(self.generation),
            "work": asdict(self.work),
            "assumed": asdict(self.hardware),
            "bytes_per_gpu": {
                "training": asdict(self.memory),
                "rollout": asdict(self.rollout),
                "phases": asdict(self.needs),
            },
            "flops_per_step": self.flops,
            "seconds_per_step": {**asdict(self.seconds), "total": self.seconds.total},
        }


def make(
    config: DictConfig,
    hardware: Hardware,
    gpus: int | None = None,
    prompt: int | None = None,
    response: int | None = None,
) -> Plan:
    """Plan a recipe.

    Args:
        config: What verl would see.
        hardware: What is assumed of a GPU.
        gpus: That train; None: as many as the recipe says.
        prompt, response: Tokens of a trajectory, for the time of a step; None: the longest.

    Raises:
        ConfigError: The model is not known, cannot be spread so, or is of a kind of which no plan can be made.
    """
    folder, model = models.find(config.actor_rollout_ref.model.path)
    training = settings.training(config, gpus)
    generation = settings.generation(config, training.layout.gpus)
    work = settings.work(config, prompt, response)
    built = building.build(folder, training, [work.prompt + work.response] * work.trajectories)
    trainer = memory.of_training(model, training, built)
    share = rollout.of_rollout(model, generation, hardware.memory * GIB)
    needed = advice.needs(generation, trainer, share, hardware)
    return Plan(
        folder=folder,
        model=model,
        training=training,
        generation=generation,
        work=work,
        hardware=hardware,
        memory=trainer,
        rollout=share,
        needs=needed,
        problems=tuple(advice.problems(model, training, generation, work, trainer, share, needed)),
        flops=built.flops,
        seconds=timing.of_step(model, training, generation, work, built.flops, trainer, share, hardware),
    )
