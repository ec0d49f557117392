"""Holds one conversation: understand → decide → word → check bounds → speak."""
