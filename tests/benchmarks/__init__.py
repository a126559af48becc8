"""How fast the server is, shown beside its peers in the same run, for `python -m tests.benchmarks`.
No test lives here: nothing in this package fails a build over a figure.
"""
