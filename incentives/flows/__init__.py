"""What happens, one file per verb, read from top to bottom: the only writers."""
