"""Deeds: what several flows do in the same words, within the transaction that the flow opened."""
