"""HTTP/2 for browsers, beside uvicorn in one process: h2 keeps the protocol's state, tokens are framed here."""
