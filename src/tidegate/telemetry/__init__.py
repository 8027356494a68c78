"""One frozen record per stream to a hook Protocol; one small file per sink."""
