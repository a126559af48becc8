"""Delivery of live events to open connections, from a published event to the bytes on a socket.
What may be said to whom, and how anything is stored, is decided elsewhere.
"""
