"""The chart of accounts, balanced postings and the audit trail: append-only."""
