"""A model server that follows a script: for demonstrations, tests and benchmarks."""
