"""Budgets and their movements, limits and approvals."""
