"""PURE. Facts in, verdict out: who may stream, which upstream serves a model, when to try again.

Time and chance are arguments.
"""
