"""Who is called when: planning, the ladder of attempts, dialing, and what happens when nobody can be reached."""
