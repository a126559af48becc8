"""Commands for operators: ``python -m scripts.NAME --help``. They take arguments, confirm, call operations and print.

No rule and no query lives here; what a command does to the data is an operation that the server could do too.
"""
