"""Many requests from a file: pooled, at the pace that the server bears, and never paid for twice."""
