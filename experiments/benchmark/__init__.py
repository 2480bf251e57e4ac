"""How fast, beside everybody else on the same work in the same process."""
