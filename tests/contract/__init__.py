"""The API against its own contract, by generated requests."""
