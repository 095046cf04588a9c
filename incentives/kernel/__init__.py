"""What every room stands on: time, ids, money, periods, refusals, settings, actors, keys, the database."""
