"""How many instructions a step takes on a TPU, by XLA's loop and by the kernel, from the compiler's own output."""
