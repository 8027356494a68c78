"""Measuring from outside: a load test of any OpenAI-compatible endpoint, and the proof that streaming pays."""
