"""The HTTP door: submitting signups, confirming extractions, and reading what became of them."""

from api.app import create_app

__all__ = ["create_app"]
