"""Figures for whoever watches the servers: what waits and how long, who rests, whether the books hold."""
