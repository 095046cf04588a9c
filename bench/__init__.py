"""Side-by-side benchmarks. Ratios of one run count; single figures move from machine to machine."""
