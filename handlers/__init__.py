"""The edges: HTTP and WebSocket handlers that load input, call one operation and reply.

No rule and no query lives here.
"""
