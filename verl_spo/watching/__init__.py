"""Whether a run is all right, from what it has stored: rules, the alerts that they raise, and who hears of them."""

from verl_spo.watching.alert import Alert, AlertName, Severity
from verl_spo.watching.look import alerts
from verl_spo.watching.options import VARIABLE, AlertRules

__all__ = ["VARIABLE", "Alert", "AlertName", "AlertRules", "Severity", "alerts"]
