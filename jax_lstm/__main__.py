"""The command line, as `python -m jax_lstm`."""

from jax_lstm_command import main

if __name__ == "__main__":
    raise SystemExit(main())
