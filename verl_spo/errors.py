"""Every exception that verl-spo raises on purpose.

Each message names the option or input, the value it got, and what would be right.
"""


class SPOError(Exception):
    """Base class: `except SPOError` catches whatever verl-spo found wrong."""


class ConfigError(SPOError, ValueError):
    """An option is unknown, out of range, or contradicts another one."""


class DataError(SPOError, ValueError):
    """A prompt set or a model folder is missing, empty or malformed."""


class RewardError(SPOError, ValueError):
    """A reward is NaN or lies outside the configured range."""


class PluginError(SPOError, RuntimeError):
    """verl did not load the plug-in, or uses it in a combination that cannot work."""


class CheckpointError(SPOError, RuntimeError):
    """A checkpoint's SPO state is missing, torn, or belongs to another run, pool or version."""


class StoreError(SPOError, RuntimeError):
    """The database cannot be reached, read or written."""


class SchemaError(StoreError):
    """The database's schema is missing, older or newer than this version of verl-spo."""


class DurabilityError(StoreError):
    """A checkpoint's history could not be made durable; training must not go on."""


class EvaluationError(SPOError, RuntimeError):
    """Benchmarks could not be answered, for a reason that is not the model's."""


class LaunchError(SPOError, RuntimeError):
    """A cluster does not answer, or does not take a run."""
