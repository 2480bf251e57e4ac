"""Schedules that hand the whole loop of a plain LSTM to a compiler of its own; each restates the equations of that one."""
