"""Where a run may be started, other than here: a Ray cluster, SLURM, Kubernetes, SkyPilot.

A target gets a `Job`; on its machines `verl-spo train` does what it does here: every check, the signals, the clean-up.
"""
