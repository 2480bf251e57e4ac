"""Which of nine speakers says it: ragged utterances, a bidirectional LSTM. `python -m experiments.japanese_vowels`."""
