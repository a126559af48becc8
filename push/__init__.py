"""Messages to people who are away: their wording, a queue that never delays a request, and the vendors' doors.

Who is told of what is decided by the operations in ``community``.
"""
