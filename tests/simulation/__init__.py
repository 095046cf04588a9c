"""The whole engine under fire: one seed says who does what when, and what goes wrong meanwhile."""
