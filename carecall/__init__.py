"""CareCall: a voice agent that phones people for health check-ups, in Korean and English."""

__version__ = "0.1.0"
