"""What series of each season are made of."""

from __future__ import annotations

from experiments.pretrain.processes import Recipe

YEARLY = Recipe(
    1,
    (8, 60),
    (0.01, 0.4),
    observation=0.05,
    level=2.5,
    slope=0.35,
    autoregressive=0.35,
    growth=(0.01, 0.05),
    changes=1.5,
    box_cox=0.8,
    cycles=0.15,
)
QUARTERLY = Recipe(4, (14, 90), (0.004, 0.25), growth=(0.02, 0.05), box_cox=0.7)
MONTHLY = Recipe(
    12,
    (40, 180),
    (0.006, 0.35),
    observation=1.3,
    level=0.4,
    slope=0.04,
    autoregressive=3.0,
    growth=(0.01, 0.05),
    changes=1.5,
    reverting=0.7,
    box_cox=0.8,
    unseasonal=0.35,
    seasonal_drift=(0.003, 0.08),
    cycles=0.05,
)
DAILY = Recipe(
    7,
    (16, 250),
    (0.003, 0.25),
    level=0.4,
    autoregressive=1.2,
    reverting=0.5,
    unseasonal=0.15,
    amplitude=(0.02, 0.9),
    cycles=0.1,
)
HOURLY = Recipe(
    24,
    (60, 480),
    (0.0005, 0.08),
    level=0.4,
    slope=0.02,
    autoregressive=1.2,
    reverting=0.5,
    shifting=0.1,
    unseasonal=0.05,
    amplitude=(0.03, 1.0),
    cycles=0.05,
    nested=0.6,
)
CYCLIC = MONTHLY._replace(
    lengths=(40, 320),
    unseasonal=1.0,
    cycles=1.0,
    cycle_length=(0.85, 1.15),
    cycle_strength=(0.3, 2.0),
    growth=(0.0, 0.03),
)
WEEKLY = DAILY._replace(season=52, lengths=(80, 420), observation=0.9, nested=0.3)

RECIPES = {
    "short": (
        (YEARLY, 2400),
        (YEARLY._replace(observation=0.15, level=1.5, undamped=0.0, fade=(0.1, 0.6)), 2400),
        (QUARTERLY, 2400),
        (QUARTERLY._replace(reverting=0.3, changes=0.5, growth=(0.03, 0.06)), 2400),
        (MONTHLY, 2200),
        (MONTHLY._replace(growth=(0.0, 0.03), undamped=0.1, fade=(0.1, 0.6), seasonal_drift=(0.003, 0.05)), 2200),
        (DAILY, 900),
        (DAILY._replace(season=5), 300),
        (QUARTERLY._replace(season=2, lengths=(10, 80)), 200),
        (MONTHLY._replace(season=6), 200),
        (CYCLIC._replace(season=11), 350),
        (CYCLIC._replace(season=9), 250),
    ),
    "long": (
        (HOURLY, 1400),
        (HOURLY._replace(spread=(0.003, 0.2), observation=0.9), 600),
        (HOURLY._replace(season=48, lengths=(120, 480)), 250),
        (HOURLY._replace(season=168, lengths=(380, 1000), nested=0.15), 500),
        (WEEKLY, 900),
        (WEEKLY._replace(reverting=0.3, nested=0.1), 500),
        (DAILY._replace(season=365, lengths=(800, 1600), nested=0.1), 350),
        (WEEKLY._replace(season=26), 200),
    ),
}
"""The recipes of each network, with the number of series of each."""

LINEAR = 0.08
"""The share of series that are learned from without logarithms, as those with zeros or negative values are."""
