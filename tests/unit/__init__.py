"""Tests without a database, of milliseconds."""
