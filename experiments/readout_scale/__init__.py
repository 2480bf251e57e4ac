"""Can the notebook's factor four be learned? `python -m experiments.readout_scale`."""
