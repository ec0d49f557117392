"""The answers to Twilio's question what to do with a call: https://www.twilio.com/docs/voice/twiml."""

from collections.abc import Iterable

from twilio.twiml.voice_response import VoiceResponse

from carecall.domain.language import Language

# Language and voice of <Say>: https://www.twilio.com/docs/voice/twiml/say/text-speech
VOICES = {Language.ENGLISH: ("en-US", "Polly.Joanna"), Language.KOREAN: ("ko-KR", "Polly.Seoyeon")}


def stream(stream_url: str, resume_url: str) -> str:
    """Open the media stream; when this server closes it, ask at ``resume_url`` how to go on."""
    answer = VoiceResponse()
    answer.connect().stream(url=stream_url)
    answer.redirect(resume_url, method="POST")
    return str(answer)


def hang_up() -> str:
    answer = VoiceResponse()
    answer.hangup()
    return str(answer)


def say(lines: Iterable[tuple[Language, str]]) -> str:
    """Say the lines in Twilio's own voices, then hang up."""
    answer = VoiceResponse()
    for language, text in lines:
        code, voice = VOICES[language]
        answer.say(text, language=code, voice=voice)
    answer.hangup()
    return str(answer)
