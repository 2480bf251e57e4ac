"""Recurrent reinforcement learning on a task that needs memory. `python -m experiments.memory_task`."""
