"""Tidegate: a streaming gateway for LLM responses."""

__version__ = "0.1.0"
