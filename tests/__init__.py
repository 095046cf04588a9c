"""Tests, in folders named by kind."""
