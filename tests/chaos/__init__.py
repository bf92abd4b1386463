"""Chaos: the whole system as processes, a client that remembers, faults by seed, and a checker that trusts nobody."""
