"""Can the notebook's factor four be learnt? `python -m experiments.readout_scale`."""
