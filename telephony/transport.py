"""pipecat's transport over an admitted media stream."""

from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

from telephony.media_stream import MediaStream


def telephone_transport(stream: MediaStream) -> FastAPIWebsocketTransport:
    """The line of one call. It does not hang up by Twilio's REST interface: the stream closes, then Twilio asks on.

    To learn when audio has been played, push an ``OutputTransportMessageFrame`` with
    ``{"event": "mark", "mark": {"name": ...}}`` behind it: unlike ``MediaStream.send_mark`` it waits its turn in the
    pipeline.
    """
    serializer = TwilioFrameSerializer(stream.stream_sid, params=TwilioFrameSerializer.InputParams(auto_hang_up=False))
    return FastAPIWebsocketTransport(
        websocket=stream.websocket,
        params=FastAPIWebsocketParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=2,
            audio_out_end_silence_secs=1,
            serializer=serializer,
            allowed_origins=[],
        ),
    )
