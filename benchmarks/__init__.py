"""Side by side, in one run, on this machine: what ciosync does, and what a user would do instead."""
