"""Webhooks of the tools that others report by."""
