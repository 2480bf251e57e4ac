"""The forecaster on many public collections of series, next to published models."""
