"""Reads the file, the environment and the flags once, and fills the options that each room defines.

The known keys are the rooms' dataclasses themselves: a new option needs no edit here.
"""

from tidegate.config.example import example
from tidegate.config.load import load
from tidegate.config.values import base_url_problem, is_loopback

__all__ = ["base_url_problem", "example", "is_loopback", "load"]
