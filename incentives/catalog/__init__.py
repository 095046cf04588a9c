"""What may be offered: the approved catalog, its protocols, and who may be given what."""
