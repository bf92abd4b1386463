"""Keep Customer.io true: every signup reaches it, in two phases, whatever breaks.

Importing this package opens no socket and reads no environment.
"""
