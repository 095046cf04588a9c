"""Requests that the vendors' real clients build, against a stand-in on this machine."""
