"""Migrations: one line of them, up and down and up again, and the tables that they make are the ones that we mean."""
