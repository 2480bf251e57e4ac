"""Experiments, one folder each: a module to run, a README that says what it shows, and the results it printed."""
