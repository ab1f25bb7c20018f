"""Charts, as Vega-Lite specifications with their data. Colours and fonts are the theme's, light or dark.

Names of runs and metrics enter as data, as a scale's domain and as plain titles only, which Vega draws as text; the
fields have fixed names.
"""

from verl_spo_dashboard.charts.bars import columns, compositions, histogram
from verl_spo_dashboard.charts.beta import beta
from verl_spo_dashboard.charts.calibration import calibration
from verl_spo_dashboard.charts.estimates import Estimate, estimates
from verl_spo_dashboard.charts.heat_map import heat_map
from verl_spo_dashboard.charts.lines import PICKED, Line, Look, legend, lines
from verl_spo_dashboard.charts.moves import moves
from verl_spo_dashboard.charts.progress import HOURS, STEP, TRAJECTORIES, UNTIL, Axis
from verl_spo_dashboard.charts.prompt_history import OPENED, prompt_history, prompt_numbers
from verl_spo_dashboard.charts.rewards import CHOSEN, rewards
from verl_spo_dashboard.charts.session import session
from verl_spo_dashboard.charts.spec import Spec, Titles
from verl_spo_dashboard.charts.stacked import stacked

__all__ = [
    "CHOSEN",
    "HOURS",
    "OPENED",
    "PICKED",
    "STEP",
    "TRAJECTORIES",
    "UNTIL",
    "Axis",
    "Estimate",
    "Line",
    "Look",
    "Spec",
    "Titles",
    "beta",
    "calibration",
    "columns",
    "compositions",
    "estimates",
    "heat_map",
    "histogram",
    "legend",
    "lines",
    "moves",
    "prompt_history",
    "prompt_numbers",
    "rewards",
    "session",
    "stacked",
]
