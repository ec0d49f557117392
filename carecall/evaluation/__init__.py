"""Measures understanding, red flags, intents, bounds, memory and speech on files of labelled lines."""
