"""What every part of the server may lean on: settings, time, logs, metrics and the container of dependencies.

Nothing here knows a rule of the product, a query or a route.
"""
