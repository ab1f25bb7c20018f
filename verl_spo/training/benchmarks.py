"""The benchmarks in a validation set: each data source's distinct problems, and which sample of which one a row is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from verl_spo.store.records import PromptRecord
from verl_spo.training.prompts.identity import Fields, prompt_of
from verl_spo.training.seeding import FIELD


@dataclass
class Benchmark:
    """A data source's problems.

    Attributes:
        name: The data source, by which verl's metrics call it too.
        problems: Distinct ones, in the order of their first rows.
        rows: Of the validation set, of each problem: some sets are published with their problems repeated.
    """

    name: str
    problems: list[PromptRecord] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)


class Labelled(Dataset[dict[str, Any]]):
    """A validation set whose rows say which problem they ask, and which of its repetitions; seeds follow from that.

    Attributes:
        benchmarks: By name, in the order of their first rows.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], data: DictConfig) -> None:
        """Read a validation set.

        Args:
            rows: As verl's data set gives them, messages with their images in `raw_prompt`.
            data: verl's `data` group.

        Raises:
            DataError: A row has no chat messages, or holds a value that is not the same at every start.
        """
        self._rows = rows
        self._fields = Fields("raw_prompt", data.image_key, data.video_key, data.audio_key)
        self.benchmarks: dict[str, Benchmark] = {}
        self._labels = list(self._read())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {**self._rows[row], FIELD: self._labels[row]}

    def place_of(self, label: str) -> tuple[str, int, int]:
        """Of a row's label: the benchmark, the problem's place in it, and the number of the repetition, from 0."""
        digest, _, repetition = label.partition("/")
        benchmark, place = self._places[digest]
        return benchmark, place, int(repetition)

    def _read(self) -> Iterable[str]:
        self._places: dict[str, tuple[str, int]] = {}
        for number in range(len(self._rows)):
            prompt = prompt_of(self._rows[number], self._fields, number)
            digest, benchmark = prompt.digest.hex(), self._benchmark(prompt.data_source)
            if digest not in self._places:
                self._places[digest] = benchmark.name, len(benchmark.problems)
                record = PromptRecord(prompt.digest, prompt.data_source, prompt.messages, prompt.truth_text)
                benchmark.problems.append(record)
                benchmark.rows.append([])
            rows = benchmark.rows[self._places[digest][1]]
            yield label(digest, len(rows))
            rows.append(number)

    def _benchmark(self, name: str) -> Benchmark:
        return self.benchmarks.setdefault(name, Benchmark(name))


def label(digest: str, repetition: int) -> str:
    """What a row says: its problem, by the digest in hex, and the number of the repetition, from 0."""
    return f"{digest}/{repetition}"


def relabel(loader: DataLoader[Any], rows: Labelled) -> StatefulDataLoader[Any]:
    """A validation loader like verl's, over the same rows with their labels (verl's trainer_base.py:752)."""
    return StatefulDataLoader(
        dataset=rows,
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        sampler=loader.sampler,
        drop_last=False,
        collate_fn=loader.collate_fn,
    )
