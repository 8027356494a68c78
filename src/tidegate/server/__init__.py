"""The HTTP face: an ASGI application that also mounts in anybody's server."""
