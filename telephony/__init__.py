"""The Twilio bridge: signed webhooks, TwiML, one-time stream tokens and the media stream."""
