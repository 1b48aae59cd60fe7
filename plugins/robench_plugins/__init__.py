"""The plugin with the built-in components of robench.

The plugin is loaded through the entry-point group ``robench``, like any other plugin. ``registration.py`` lists the
names of the components.
"""

from robench_plugins.registration import (
    robench_attacks,
    robench_cell_finished,
    robench_data_read,
    robench_datasets,
    robench_defenses,
    robench_executors,
    robench_metrics,
    robench_models,
    robench_suite_finished,
    robench_suite_started,
    robench_victim_progress,
)

__all__ = [
    "robench_attacks",
    "robench_cell_finished",
    "robench_data_read",
    "robench_datasets",
    "robench_defenses",
    "robench_executors",
    "robench_metrics",
    "robench_models",
    "robench_suite_finished",
    "robench_suite_started",
    "robench_victim_progress",
]
