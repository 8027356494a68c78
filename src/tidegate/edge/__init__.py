"""PURE. Configurations for the servers that stand before the gateway: one file for each program."""
