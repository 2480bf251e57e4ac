"""Schedules that hand the whole loop to a compiler of their own."""
