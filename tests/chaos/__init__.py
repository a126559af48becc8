"""Failures on purpose: what the server promises, measured while its parts are killed, frozen, cut off and flooded.

`python -m tests.chaos` lists the scenarios. What they share is in `frame` and `cluster`.
"""
