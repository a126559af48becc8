"""Operations and rules about people and what they write.

An operation takes ``deps`` first and ``actor`` second, and goes gate, rule, write, live, away. Nothing here
knows HTTP, frames or queries.
"""
