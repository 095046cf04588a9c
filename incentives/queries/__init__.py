"""The read side of every screen, report and export: frozen dataclasses, read-only sessions."""
