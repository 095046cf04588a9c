"""The outbox, delivery attempts, and the port to whoever carries a message."""
