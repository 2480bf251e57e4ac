"""Which of nine speakers is it? Ragged utterances, a bidirectional LSTM. `python -m experiments.japanese_vowels`."""
