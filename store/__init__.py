"""The truth: MongoDB, one class a noun, one method a query or one atomic change.

No rule about who may do what lives here, and nothing here tells anybody that something changed.
"""
