"""PURE. The rules that Tidegate brings along.

``secrets`` ``prefixes`` keys and tokens · ``pii`` people · ``deny`` words · ``phones`` national numbers · ``checks``
their validators.
"""
