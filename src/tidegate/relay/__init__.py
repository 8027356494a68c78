"""ONE stream's life: the state table, the token path, cancel, retry, heartbeat."""
