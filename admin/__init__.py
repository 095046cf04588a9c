"""Door 2, for staff: pages, and the operator's commands."""
