"""Which variants of the LSTM matter, on two tasks. `python -m experiments.variants`."""
