"""What the business does. Knows no door, no web framework and no vendor."""
