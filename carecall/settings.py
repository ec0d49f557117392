"""The one settings class: ``CARECALL_*`` in the environment, over ``carecall.toml``, over defaults for a small box."""

import base64
import binascii
import ipaddress
import re
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from carecall.errors import SettingsError

_PACKAGE = Path(__file__).parent
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
_ICE = re.compile(r"stun:[\w.-]+(:\d{1,5})?|turns?:[\w.-]+(:\d{1,5})?(\?transport=(udp|tcp))?", re.ASCII)


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    AUTO = "auto"  # text on a terminal, otherwise JSON
    TEXT = "text"
    JSON = "json"


def _dialogs() -> Path:
    """The dialogs folder of the checkout, or the copy that the wheel carries."""
    checkout = _PACKAGE.parent / "dialogs"
    return checkout if checkout.is_dir() else _PACKAGE / "_dialogs"


class Settings(BaseSettings):
    """Everything that an operator may set. Each field is documented in docs/settings.md."""

    model_config = SettingsConfigDict(env_prefix="CARECALL_", toml_file="carecall.toml", extra="forbid")

    environment: Environment = Environment.DEVELOPMENT
    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("carecall"))
    models_dir: Path = Field(default_factory=lambda: platformdirs.user_cache_path("carecall") / "models")
    dialogs_dir: Path = Field(default_factory=_dialogs)
    database_url: str = ""  # empty: SQLite in data_dir

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str = ""  # the https:// base under which Twilio reaches us; webhooks are verified against it
    secret_key: SecretStr = SecretStr("")
    twilio_account_sid: str = ""
    twilio_auth_token: SecretStr = SecretStr("")
    twilio_number: str = ""  # E.164: calls are made from it, and people call it back
    twilio_api_url: str = "https://api.twilio.com"
    calls_per_second: float = Field(1.0, gt=0, le=100)  # begun by all workers together
    calls_at_once: int = Field(8, ge=1, le=10_000)  # under way, of all workers together
    ring_s: int = Field(30, ge=10, le=120)  # then a call counts as not answered
    longest_call_s: int = Field(900, ge=60, le=3600)  # then the provider ends it
    worker_name: str = ""  # unlike that of any other worker; empty: the name of this machine
    drain_s: float = Field(300.0, ge=0, le=3600)  # how long calls may go on after SIGTERM
    alert_webhook_url: str = ""  # where emergencies and urgent alerts are posted
    alert_webhook_secret: SecretStr = SecretStr("")  # signs the posts
    alert_email_to: str = ""  # addresses, with commas between
    alert_email_from: str = ""
    escalate_emergency_after_s: float = Field(300.0, ge=0)  # to the next person, unless acknowledged; 0: it stays
    escalate_urgent_after_s: float = Field(1800.0, ge=0)
    smtp_url: SecretStr = SecretStr("")  # smtp://USER:PASSWORD@HOST:587 (STARTTLS) or smtps://…:465
    ice_urls: str = ""  # stun:HOST:PORT and turn:HOST:PORT for test calls from the browser, with commas between
    ice_user: str = ""  # at the TURN servers
    ice_credential: SecretStr = SecretStr("")
    otlp_url: str = ""  # an OpenTelemetry collector's http endpoint; empty: nothing is exported
    otlp_trace_share: float = Field(1.0, ge=0, le=1)  # of the traces that are exported
    log_format: LogFormat = LogFormat.AUTO

    organisation: str = ""  # who calls; empty: the dialog's own
    llm: str = "local"  # none, local, or the base URL of an OpenAI-compatible server
    llm_model: str = "qwen2.5-coder-1.5b"  # a name of the manifest or a path (local), or the server's model name
    llm_api_key: SecretStr = SecretStr("")
    llm_deadline_s: float = Field(2.0, gt=0, le=10)  # a warm sentence that comes later is not spoken
    stt: str = "faster-whisper"  # or a dotted path to a pipecat STT service class
    stt_model: str = "whisper-base"
    stt_options: dict[str, Any] = Field(default_factory=dict)  # keyword arguments of a service named by dotted path
    tts_en: str = "piper"  # piper, espeak-ng, coqui:MODEL, or a dotted path to a pipecat TTS service class
    tts_ko: str = "espeak-ng"
    tts_options: dict[str, Any] = Field(default_factory=dict)
    tts_voice_en: str = "en_US-joe-medium"
    threads: int = Field(2, ge=1, le=64)  # CPU threads of each model
    max_calls: int = Field(8, ge=1)  # calls held at once; one more is refused
    retain_transcripts_days: int = Field(365, ge=1)  # what was said, word for word, and sentences no longer true
    retain_recordings_days: int = Field(30, ge=1)
    retain_reports_days: int = Field(1825, ge=1)  # findings, settled alerts, history
    retain_audit_days: int = Field(732, ge=732)  # two years at least
    record_calls: bool = False  # keep audio; needs the recipient's consent
    debug: bool = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _production_is_safe(self) -> Self:
        if self.environment is Environment.PRODUCTION:
            for name in ("secret_key", "twilio_account_sid", "twilio_auth_token", "public_url"):
                value = getattr(self, name)
                if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
                    raise ValueError(f"production needs CARECALL_{name.upper()}")
            if not self.public_url.startswith("https://"):
                raise ValueError("production needs an https:// CARECALL_PUBLIC_URL")
        return self

    @model_validator(mode="after")
    def _channels_are_complete(self) -> Self:
        if self.twilio_number and not _E164.fullmatch(self.twilio_number):
            raise ValueError("CARECALL_TWILIO_NUMBER is written as +821012345678")
        if self.otlp_url:
            _http("CARECALL_OTLP_URL", self.otlp_url)
        self._webhook_is_complete()
        self._email_is_complete()
        self._ice_is_complete()
        return self

    def _webhook_is_complete(self) -> None:
        if not self.alert_webhook_url:
            return
        scheme = _http("CARECALL_ALERT_WEBHOOK_URL", self.alert_webhook_url)
        if scheme != "https" and self.environment is Environment.PRODUCTION:
            raise ValueError("production needs an https:// CARECALL_ALERT_WEBHOOK_URL")
        if not 24 <= len(self.webhook_key) <= 64:
            raise ValueError(
                "CARECALL_ALERT_WEBHOOK_URL needs CARECALL_ALERT_WEBHOOK_SECRET: whsec_ and 24 to 64 random bytes in "
                'base64, such as "whsec_$(openssl rand -base64 32)"'
            )

    def _email_is_complete(self) -> None:
        url = self.smtp_url.get_secret_value()
        wanted = {
            "CARECALL_SMTP_URL": url,
            "CARECALL_ALERT_EMAIL_TO": self.alert_email_to,
            "CARECALL_ALERT_EMAIL_FROM": self.alert_email_from,
        }
        missing = [name for name, value in wanted.items() if not value]
        if len(missing) == len(wanted):
            return
        if missing:
            raise ValueError(f"alerts by e-mail need {' and '.join(missing)} too")
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("smtp", "smtps") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("CARECALL_SMTP_URL is smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465")
        for address in (*self.alert_addresses, self.alert_email_from):
            if not (_ADDRESS.fullmatch(address) and address.isascii()):
                raise ValueError("CARECALL_ALERT_EMAIL_TO and _FROM are addresses as name@host, with commas between")

    def _ice_is_complete(self) -> None:
        for url in (each for server in self.ice_servers for each in server["urls"]):
            if not _ICE.fullmatch(url):
                raise ValueError("CARECALL_ICE_URLS are stun:HOST:PORT or turn:HOST:PORT, with commas between")
            if url.startswith("turn") and not (self.ice_user and self.ice_credential.get_secret_value()):
                raise ValueError("a TURN server needs CARECALL_ICE_USER and CARECALL_ICE_CREDENTIAL too")

    @property
    def ice_servers(self) -> list[dict[str, Any]]:
        """The servers that help two peers of WebRTC to find each other, as RTCPeerConnection takes them."""
        urls = [url.strip() for url in self.ice_urls.split(",") if url.strip()]
        relays = [url for url in urls if url.startswith("turn")]
        others = [url for url in urls if url not in relays]
        login = {"username": self.ice_user, "credential": self.ice_credential.get_secret_value()}
        return [*([{"urls": others}] if others else []), *([{"urls": relays, **login}] if relays else [])]

    @property
    def webhook_key(self) -> bytes:
        """The bytes that sign alerts; none when the secret is not set or not in the form of Standard Webhooks."""
        prefix, _, key = self.alert_webhook_secret.get_secret_value().partition("_")
        try:
            return base64.b64decode(key, validate=True) if prefix == "whsec" else b""
        except binascii.Error:
            return b""

    @property
    def alert_addresses(self) -> tuple[str, ...]:
        """Where alerts are mailed to."""
        return tuple(address.strip() for address in self.alert_email_to.split(",") if address.strip())

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{self.data_dir / 'carecall.sqlite3'}"

    @property
    def recordings_dir(self) -> Path:
        return self.data_dir / "recordings"

    @property
    def phrases_dir(self) -> Path:
        """Where the audio of vetted phrases is kept once rendered."""
        return self.models_dir.parent / "phrases"

    @property
    def loopback(self) -> bool:
        """Whether the server can be reached from this machine only."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _http(name: str, url: str) -> str:
    """The scheme of a usable http address. Raises ValueError that names the setting."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{name} is an address as https://HOST/PATH")
    return parts.scheme


@cache
def settings() -> Settings:
    """The effective settings. Raises SettingsError with one line that names the wrong ones."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise SettingsError(f"Settings are wrong: {wrong}. See docs/settings.md.") from None
    except ValueError as error:
        raise SettingsError(f"carecall.toml cannot be read: {error}") from None
