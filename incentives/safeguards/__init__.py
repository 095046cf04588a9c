"""What keeps money safe from mistakes and mischief: switches, lists, signals and reviews."""
