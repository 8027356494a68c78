"""PURE. Bytes to events and back: framings (SSE, NDJSON) and dialects (OpenAI chat), sans-IO and in linear time."""
