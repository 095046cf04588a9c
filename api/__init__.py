"""Door 1, for machines: JSON over HTTP."""
