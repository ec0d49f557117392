"""The care worker's dashboard: pages, signing in, live updates."""
