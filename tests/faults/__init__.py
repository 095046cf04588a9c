"""Tests of the doors: statuses, problems, pages."""
