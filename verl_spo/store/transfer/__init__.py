"""A run as files, and back: everything it left, row by row, in memory that does not grow with the run."""

from verl_spo.store.transfer.exporting import export_run
from verl_spo.store.transfer.formats import FORMATS
from verl_spo.store.transfer.importing import import_run
from verl_spo.store.transfer.offline import import_scores

__all__ = ["FORMATS", "export_run", "import_run", "import_scores"]
