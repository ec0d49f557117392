"""What is remembered of a recipient: updated after a call, recalled before the next."""
