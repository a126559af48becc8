"""Operations and rules about money: what ambassadors earn, and how they are paid exactly once.

An operation takes ``deps`` first. Nothing here knows HTTP or queries, and one module alone knows Stripe's library.
"""
