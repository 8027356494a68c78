"""The streaming torture suite: a model server that lies, before any gateway, and what the gateway makes of it."""
