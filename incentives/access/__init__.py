"""Who may come in: people, their sessions, and API keys."""
