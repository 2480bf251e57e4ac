"""The command line, as `python -m jax_lstm`."""

from jax_lstm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
