"""A simulated model server (OpenAI-compatible): demo, tests and benchmarks."""
