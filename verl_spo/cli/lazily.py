"""Commands that are imported when they are called: neither the list of them nor another command waits for that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

HYDRA_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


@dataclass(frozen=True)
class Command:
    """A command, or a group of them.

    Attributes:
        place: `module:name` of its function or application, in `verl_spo.cli`.
        says: Its line in the list: how the description begins that it gives of itself.
        overrides: Whether every further argument is a Hydra override.
    """

    place: str
    says: str
    overrides: bool = False

    def load(self, name: str) -> Any:
        """Import it."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(f"verl_spo.cli.{module}"), attribute)
        holder = typer.Typer()
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=name)
        else:
            holder.command(name, context_settings=HYDRA_ARGUMENTS if self.overrides else None)(found)
        return get_group(holder).commands[name]


class _Loaded(Mapping[str, Any]):
    """Commands by name, each imported on access."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands

    def __getitem__(self, name: str) -> Any:
        return self._commands[name].load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


def group(commands: Mapping[str, Command]) -> type[TyperGroup]:
    """The class of a group of these commands."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            listed = {name: TyperCommand(name, help=command.says) for name, command in commands.items()}
            self._list = TyperGroup(**{**attributes, "commands": listed})
            self.commands: Any = _Loaded(commands)

        def format_help(self, ctx: Any, formatter: Any) -> None:
            self._list.params = self.params
            self._list.format_help(ctx, formatter)

        def shell_complete(self, ctx: Any, incomplete: str) -> Any:
            return self._list.shell_complete(ctx, incomplete)

    return Group
