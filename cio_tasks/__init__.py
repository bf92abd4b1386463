"""ciosync."""
