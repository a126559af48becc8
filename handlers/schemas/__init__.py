"""What goes in and what comes out, as marshmallow schemas: they validate input and are the published contract.

Output is written by hand in ``community.present``; a test holds it against these.
"""
