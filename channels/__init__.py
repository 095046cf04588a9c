"""The customers' door: messages by email and SMS, the voucher page, and the inbox of captured messages."""
