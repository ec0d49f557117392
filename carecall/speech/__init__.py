"""Speech recognition and synthesis as pipecat services, and the audio of vetted phrases rendered once."""
