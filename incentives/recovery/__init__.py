"""Customers who were let down, and the cases of putting it right."""
