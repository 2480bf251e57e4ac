"""Add the two marked numbers of a long sequence. `python -m experiments.adding_problem`."""
