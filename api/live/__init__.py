"""Live events for Socket.IO clients: `/socket.io/` stands before the routes and has its own door.

Clients listen and say nothing but who they are. What they hear comes from Redis; while that is away they hear nothing, and
everything else is served.
"""

from api.live.clients import Clients
from api.live.server import serve_live

__all__ = ["Clients", "serve_live"]
