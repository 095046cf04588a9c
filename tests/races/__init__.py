"""Races: several processes, real commits, PostgreSQL; each guard has a twin that shows the race with the guard off."""
