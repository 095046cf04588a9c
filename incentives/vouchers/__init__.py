"""Codes, a voucher's life, and its one redemption."""
