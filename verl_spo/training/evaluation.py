"""`verl-spo evaluate` inside verl: a trainer mode that trains nothing, answers benchmarks and stores every answer."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import transfer_queue as tq
from omegaconf import DictConfig, open_dict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.utils import create_rl_dataset
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn

from verl_spo.core.rewards import RewardScale
from verl_spo.errors import ConfigError
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.records import EvaluationInfo, Origin
from verl_spo.training import verl_options
from verl_spo.training.benchmarks import Benchmark, Labelled, label
from verl_spo.training.launcher import EVALUATES
from verl_spo.training.samples import Answer, AnswerReader, Failures, samples_of
from verl_spo.training.seeding import FIELD
from verl_spo.training.trajectories import ENDED

_PARTITION = "val"
# A schedule that Megatron takes, whatever its warm-up: nothing is trained.
_STEPS = 10**9
_log = logging.getLogger(__name__)

Key = tuple[int, int]
"""Place of a problem, number of a sample."""


@register_trainer(EVALUATES)
class EvaluationTrainer(PPOTrainerSync):  # type: ignore[misc]
    """Answers the benchmarks of `data.val_files` with one policy, as the `evaluation` group asks for it."""

    def __init__(self, config: DictConfig) -> None:
        self.options = verl_options.spo_config(config)
        self.asked = verl_options.evaluation_config(config)
        with open_dict(config):
            # verl compares the mode's name with its own (trainer_base.py:153, 731, 902, ...).
            config.trainer.v1.trainer_mode = "sync"
            config.data.val_files = verl_options.data_files(config, "val_files")
            config.actor_rollout_ref.actor.optim.total_training_steps = _STEPS
        super().__init__(config)

    def _init_dataloader(self) -> None:
        """Read the benchmarks; there is no training set."""
        data = self.config.data
        rows = create_rl_dataset(data.val_files, data, self.tokenizer, self.processor, is_train=False)
        self.rows = Labelled(rows, data)
        self.reader = AnswerReader(self.config, self.tokenizer, RewardScale.of(self.options))

    def _load_checkpoint(self) -> None:
        """Load the weights alone."""
        self.global_steps = self.asked.step
        if (folder := verl_options.own_checkpoint(self.config)) is not None:
            self.actor_rollout_wg.load_checkpoint(local_path=str(folder / "actor"), del_local_after_load=False)

    def fit(self, agent_loop_manager: Any) -> None:
        """Answer what is missing of each benchmark."""
        self.agent_loop_manager = agent_loop_manager
        if self.reward_loop_manager.reward_loop_worker_handles is None:
            raise ConfigError(
                "reward.reward_model.enable_resource_pool=False: would judge on the trainer's devices, after the "
                "answers; give it a pool of its own, or evaluate with reward.reward_model.enable=False"
            )
        with Evaluating(self.options.store, self.asked.run, self.asked.attempt) as store:
            for benchmark in self.rows.benchmarks.values():
                self._evaluate(store, benchmark)
        self._shutdown_dump_executor()

    def _evaluate(self, store: Evaluating, benchmark: Benchmark) -> None:
        evaluation = store.begin(self._info(benchmark))
        there = set(store.sample_keys(evaluation))
        # Every problem's first sample before any one's second: a part of an evaluation says something of all.
        wanted = [(place, n) for n in range(self.asked.samples) for place in range(len(benchmark.problems))]
        missing = [key for key in wanted if key not in there]
        _log.warning("%s: %d of %d samples are missing", benchmark.name, len(missing), len(wanted))
        for answers in self._answers(benchmark, missing):
            store.add(evaluation, samples_of(answers))

    def _info(self, benchmark: Benchmark) -> EvaluationInfo:
        return EvaluationInfo(
            benchmark.name,
            benchmark.problems,
            self.asked.samples,
            self.asked.step,
            self.asked.model,
            Origin.EVALUATION,
            verl_options.sampling(self.config),
        )

    def _answers(self, benchmark: Benchmark, keys: Iterable[Key]) -> Iterable[dict[Key, Answer | None]]:
        """The samples of some keys as they end; None for those whose session failed."""
        waiting, asked, failures = deque(keys), dict[str, Key](), Failures()
        while waiting or asked:
            if room := min(self.asked.in_flight - len(asked), len(waiting)):
                new = {
                    f"{place}-{number}": (place, number) for place, number in (waiting.popleft() for _ in range(room))
                }
                self._ask(benchmark, new)
                asked |= new
            if ended := self._ended(asked):
                failures.check(ended.values())
                yield {asked.pop(uid): answer for uid, answer in ended.items()}
            else:
                time.sleep(self.options.poll_interval_s)

    def _ask(self, benchmark: Benchmark, asked: Mapping[str, Key]) -> None:
        """Send requests to verl's agent loops, one per sample, as its own validation does (trainer_base.py:1049)."""
        rows = [
            {**self.rows[benchmark.rows[place][0]], FIELD: label(benchmark.problems[place].digest.hex(), number)}
            for place, number in asked.values()
        ]
        batch = collate_fn(rows)
        batch["uid"] = np.array(list(asked), dtype=object)
        prompts = tu.get_tensordict(batch)
        for name, value in (("global_steps", self.global_steps), ("validate", True), ("__rollout_n__", 1)):
            tu.assign_non_tensor_data(prompts, name, value)
        tag = {"is_prompt": True, "status": "pending", "global_steps": self.global_steps}
        tq.kv_batch_put(keys=list(asked), partition_id=_PARTITION, tags=[dict(tag) for _ in asked])
        self.agent_loop_manager.generate_sequences(prompts)

    def _ended(self, asked: Mapping[str, Key]) -> dict[str, Answer | None]:
        """The answers that are there, by request; verl's queue forgets them."""
        known = (tq.kv_list(_PARTITION) or {}).get(_PARTITION, {})
        uids = [uid for uid in asked if known[uid]["status"] in ENDED]
        if not uids:
            return {}
        outputs = {key: tag for key, tag in known.items() if key.rpartition("_")[0].rpartition("_")[0] in uids}
        batch = KVBatchMeta(partition_id=_PARTITION, keys=list(outputs), tags=list(outputs.values()))
        places = {asked[uid]: uid for uid in uids}
        answers: dict[str, Answer | None] = dict.fromkeys(uids)
        for answer in self.reader.read(batch):
            _, place, number = self.rows.place_of(answer.label)
            answers[places[place, number]] = answer
        tq.kv_clear(keys=[*uids, *outputs], partition_id=_PARTITION)
        return answers
