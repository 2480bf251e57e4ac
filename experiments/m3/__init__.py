"""The forecaster on the 3,003 series of the M3 competition."""
