"""The same training in one process and in two, which find the same parameters."""
