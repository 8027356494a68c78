"""The streaming sanitizer: what it costs, what it holds, what it finds and what it should not."""
