"""Simulated calls: scenarios, synthetic recipients, and the far end of the line."""
