"""Templates of scripts and manifests: those that ship with the package, or the user's own."""

import json
import shlex
from pathlib import Path
from typing import Any

import jinja2

from verl_spo.errors import ConfigError

FOLDER = Path(__file__).with_name("templates")


def render(name: str, own: Path | None = None, **values: Any) -> str:
    """Fill in a template.

    Args:
        name: Of one that ships with the package.
        own: A user's file to take instead; it may include those of the package.
        values: What it can name. `shell` quotes a value for a shell, `yaml` for YAML.

    Raises:
        ConfigError: The user's template is missing or wrong.
    """
    folders = [own.parent, FOLDER] if own else [FOLDER]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # A shell counts with `${#array[@]}`.
        comment_start_string="{##",
        comment_end_string="##}",
        autoescape=False,  # noqa: S701 (shell and YAML, not HTML)
    )
    environment.filters |= {"shell": shlex.quote, "yaml": json.dumps}
    try:
        return environment.get_template(own.name if own else name).render(values)
    except jinja2.TemplateNotFound as error:
        raise ConfigError(f"--template {own or name}: there is no template {error}") from error
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        raise ConfigError(f"--template {own or name}{f', line {line}' if line else ''}: {error}") from error
