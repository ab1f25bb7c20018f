"""Recipes: named verl configurations that ship with the package, or the user's own YAML files."""

from importlib.util import find_spec
from pathlib import Path

import verl_spo
from verl_spo.errors import ConfigError

_GROUPS = ("spo", "scale")


def folder() -> Path:
    """Where they lie: inside the package that is installed, or beside it in a checkout."""
    package = Path(verl_spo.__file__).parent
    return next(
        path for path in (package / "recipes", package.parent / "recipes") if (path / "spo" / "spo.yaml").is_file()
    )


def register_resolvers() -> None:
    """Let configurations say `${module_file:verl_spo.tools.sandbox_fusion}`: a module's file on this machine."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("module_file", _module_file, replace=True)


def _module_file(name: str) -> str:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError(f"${{module_file:{name}}}: no such module here")
    return spec.origin


def names() -> list[str]:
    """The recipes that ship with verl-spo, such as `cpu/arithmetic_spo`; files named `_*` are parts of them."""
    root = folder()
    recipes = (path.relative_to(root) for path in root.rglob("*.yaml") if not path.name.startswith("_"))
    return sorted(path.with_suffix("").as_posix() for path in recipes if path.parts[0] not in _GROUPS)


def hydra_arguments(recipe: str) -> list[str]:
    """How verl's main_ppo is told of a recipe: by name, or by folder and name for a YAML file.

    Raises:
        ConfigError: There is no such recipe, or Hydra would not read the file.
    """
    path = Path(recipe)
    if path.suffix == ".yml":
        raise ConfigError(f"recipe {recipe!r}: Hydra reads files named *.yaml; rename it")
    if path.suffix == ".yaml":
        if not path.is_file():
            raise ConfigError(f"recipe {recipe!r}: no such file")
        # Not --config-dir, which comes behind verl's own files: one of the same name would be run in its place.
        return ["--config-path", str(path.parent.resolve()), "--config-name", path.stem]
    if recipe not in names():
        raise ConfigError(f"recipe {recipe!r}: no such recipe; there are {', '.join(names())}, or name a YAML file")
    return ["--config-name", recipe]


def override(name: str, value: object) -> str:
    """A Hydra override of any text, such as a path with blanks."""
    # Hydra takes a backslash for itself unless a quote follows.
    quoted = str(value).replace("'", "\\'")
    return f"{name}='{quoted}'"
