"""What was measured, one folder an experiment: a module to run, a README that says what it shows, and the results it printed."""
