"""I/O to model servers: the HTTP/1.1 streaming reader, its pool, and the pool of API keys."""
