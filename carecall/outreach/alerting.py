"""Takes alerts to people who are not looking at the dashboard: a signed webhook and an e-mail, tried until they arrive.

An alert is delivered at least once to each channel. A repeat is known by the delivery's id, which is the ``webhook-id``
and is in the ``Message-ID``. Webhooks follow https://www.standardwebhooks.com (1.0.0). No name, no number and nothing
that was said is sent: the ids lead to them on the dashboard.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import random
import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import partial
from urllib.parse import unquote, urlsplit

import httpx
from opentelemetry.metrics import get_meter

from carecall import __version__
from carecall.domain.triage import Urgency
from carecall.errors import StoreError
from carecall.settings import Settings
from carecall.store import Store
from carecall.store.outreach import Delivery
from carecall.store.tables import Channel

logger = logging.getLogger(__name__)

DEADLINE_S = 10.0  # for the answer to a webhook, and for each step with a mail server
MAIL_ROUND_S = 20.0  # then the mails that are left have failed
_WAITS_S = (5.0, 15.0, 60.0)  # after the first failures
_LONGEST_WAIT_S = 300.0  # after all later ones
_LOOPBACK = ("localhost", "127.0.0.1", "::1")  # a mail server of this machine needs no TLS

_meter = get_meter("carecall.outreach")
_delivered = _meter.create_counter("carecall.alerts.delivered", description="Alerts that a channel has taken")
_failed = _meter.create_counter(
    "carecall.alerts.failed", description="Deliveries of alerts that failed and are repeated"
)
_delay = _meter.create_histogram(
    "carecall.alerts.delay", unit="s", description="From the raising of an alert to its delivery"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a channel did not take an alert, without secrets; and how long it asked us to wait, in seconds."""

    error: str
    wait_s: float = 0.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


def channels(settings: Settings) -> tuple[Channel, ...]:
    """Where alerts are delivered to with these settings."""
    configured = {Channel.WEBHOOK: settings.alert_webhook_url, Channel.EMAIL: settings.smtp_url.get_secret_value()}
    return tuple(channel for channel, address in configured.items() if address)


def escalate_after(settings: Settings) -> dict[Urgency, timedelta]:
    """After how long an alert that nobody acknowledged goes on to the next person."""
    seconds = {
        Urgency.EMERGENCY: settings.escalate_emergency_after_s,
        Urgency.URGENT: settings.escalate_urgent_after_s,
    }
    return {urgency: timedelta(seconds=after_s) for urgency, after_s in seconds.items() if after_s}


async def deliver_due(
    store: Store,
    settings: Settings,
    *,
    client: httpx.AsyncClient | None = None,
    now: Callable[[], datetime] = _utc_now,
) -> int:
    """One round: tries what is due and no other worker has in hand, and gives the number that arrived.

    Ends within MAIL_ROUND_S however slow the receivers are; what failed is due again later. Raises StoreError when the
    deliveries cannot be read.
    """
    due = await store.run(store.outreach.due_deliveries)
    if not due:
        return 0
    mails = [delivery for delivery in due if delivery.channel is Channel.EMAIL]
    async with AsyncExitStack() as stack:
        if client is None:
            client = await stack.enter_async_context(httpx.AsyncClient())
        arrived = await asyncio.gather(
            _mail_all(store, settings, mails, now),
            *(_post(store, settings, client, each, now) for each in due if each.channel is Channel.WEBHOOK),
            return_exceptions=True,
        )
    number = 0
    for each in arrived:
        if isinstance(each, BaseException):  # raised when all the others are through
            raise each
        number += each
    return number


async def keep_delivering(store: Store, settings: Settings, *, every_s: float = 2.0) -> None:
    """Rounds without end, for a process that runs no worker; cancel it to end it."""
    while True:
        try:
            await deliver_due(store, settings)
        except StoreError as error:
            logger.error("alerts are not delivered, and tried again: %s", error)
        except Exception:
            logger.exception("alerts are not delivered, and tried again")
        await asyncio.sleep(every_s)


def wait_s(tries: int) -> float:
    """Seconds until an alert that has failed so often before is tried again, never quite the same."""
    return (_WAITS_S[tries] if tries < len(_WAITS_S) else _LONGEST_WAIT_S) * random.uniform(0.8, 1.2)


async def _settle(store: Store, delivery: Delivery, failure: Failure | None, now: Callable[[], datetime]) -> int:
    """Records what came of a try. A delivery that cannot be recorded is repeated. Gives 1 when the alert arrived."""
    about = {"attempt_id": delivery.attempt_id}
    try:
        if failure is None:
            _delivered.add(1, {"channel": delivery.channel.value})
            _delay.record((now() - delivery.raised_at).total_seconds(), {"channel": delivery.channel.value})
            await store.run(store.outreach.delivered, delivery.id)
            return 1
        again_s = max(wait_s(delivery.tries), failure.wait_s)
        _failed.add(1, {"channel": delivery.channel.value})
        logger.error(
            "alert %s did not reach %s (try %d): %s; again in %.0f s",
            delivery.alert_id,
            delivery.channel.value,
            delivery.tries + 1,
            failure.error,
            again_s,
            extra=about,
        )
        await store.run(
            store.outreach.not_delivered, delivery.id, failure.error[:200], now() + timedelta(seconds=again_s)
        )
    except StoreError as error:
        logger.error("the delivery of alert %s is not recorded: %s", delivery.alert_id, error, extra=about)
    return 0


# Webhook


def payload(delivery: Delivery) -> bytes:
    """The body of a webhook: the same for every try."""
    moment = delivery.raised_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {
        "id": str(delivery.id),
        "type": "alert.raised",
        "timestamp": moment,
        "data": {
            "alert_id": str(delivery.alert_id),
            "attempt_id": str(delivery.attempt_id),
            "recipient_id": str(delivery.recipient_id),
            "urgency": delivery.urgency.value,
            "code": delivery.code,
            "reason": delivery.reason,
            "raised_at": moment,
        },
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def signed(key: bytes, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    timestamp = str(int(at.timestamp()))
    mac = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


async def _post(
    store: Store, settings: Settings, client: httpx.AsyncClient, delivery: Delivery, now: Callable[[], datetime]
) -> int:
    return await _settle(store, delivery, await _try_post(settings, client, delivery, now()), now)


async def _try_post(settings: Settings, client: httpx.AsyncClient, delivery: Delivery, at: datetime) -> Failure | None:
    if not settings.alert_webhook_url:
        return Failure("CARECALL_ALERT_WEBHOOK_URL is not set any more")
    body = payload(delivery)
    headers = {
        "content-type": "application/json",
        "user-agent": f"CareCall/{__version__}",
        **signed(settings.webhook_key, str(delivery.id), at, body),
    }
    try:
        async with (
            asyncio.timeout(DEADLINE_S),
            client.stream(
                "POST",
                settings.alert_webhook_url,
                content=body,
                headers=headers,
                follow_redirects=False,
                timeout=DEADLINE_S,
            ) as response,
        ):
            if response.is_success:
                return None
            asked = response.headers.get("retry-after", "")
            return Failure(
                f"answered {response.status_code}", min(float(asked), _LONGEST_WAIT_S) if asked.isdecimal() else 0.0
            )
    except (TimeoutError, httpx.TimeoutException):
        return Failure(f"no answer within {DEADLINE_S:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Failure(f"cannot be reached ({type(error).__name__})")


# E-mail

_URGENCY = {Urgency.EMERGENCY: ("응급", "Emergency"), Urgency.URGENT: ("긴급", "Urgent")}
_TEXT = """{korean} 알림입니다. 대시보드에서 확인해 주십시오.

사유: {code}
발생: {raised}
알림: {alert}
{where}
---

{english} alert. Please look at it on the dashboard.

Reason: {code}
Raised: {raised}
Alert: {alert}
{where}"""


def mail(delivery: Delivery, settings: Settings, at: datetime) -> EmailMessage:
    """The mail of an alert, in Korean and English, with the same Message-ID for every try."""
    korean, english = _URGENCY.get(delivery.urgency, ("", delivery.urgency.value.capitalize()))
    message = EmailMessage(policy=SMTP)
    message["Subject"] = f"[CareCall] {f'{korean} 알림'.strip()} · {english} alert"
    message["From"] = settings.alert_email_from
    message["To"] = delivery.to or ", ".join(settings.alert_addresses)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{delivery.id}@{settings.alert_email_from.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Importance"] = "high"
    message.set_content(
        _TEXT.format(
            korean=korean,
            english=english,
            code=delivery.code,
            raised=f"{delivery.raised_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            alert=delivery.alert_id,
            where=f"{settings.public_url}\n" if settings.public_url else "",
        )
    )
    return message


def look_at_mail_server(settings: Settings) -> str:
    """Opens a session and logs in, without a mail. Gives what is wrong, or an empty line; blocks for seconds."""
    server = _MailServer(settings.smtp_url.get_secret_value())
    failure = server.open()
    server.close()
    return failure.error if failure else ""


class _MailServer:
    """A session with the mail server. Its methods block; ``open`` and ``send`` give the failure, if any."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._smtp: smtplib.SMTP | None = None
        self.lost = False  # nothing more can be sent in this session

    def open(self) -> Failure | None:
        return self._try(self._greet)

    def send(self, message: EmailMessage) -> Failure | None:
        return self._try(lambda: self._hand_over(message))

    def close(self) -> None:
        if self._smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                if not self.lost:
                    self._smtp.quit()
            self._smtp.close()

    def cut(self) -> None:
        """Ends the session from another thread, so that the one that waits for the server goes on."""
        self.lost = True
        if self._smtp is not None and self._smtp.sock is not None:
            with suppress(OSError):
                self._smtp.sock.shutdown(socket.SHUT_RDWR)

    def _greet(self) -> None:
        host, tls = self._url.hostname or "", ssl.create_default_context()
        if self._url.scheme == "smtps":
            self._smtp = smtplib.SMTP_SSL(host, self._url.port or 465, timeout=DEADLINE_S, context=tls)
        else:
            self._smtp = smtplib.SMTP(host, self._url.port or 587, timeout=DEADLINE_S)
            if host not in _LOOPBACK:
                self._smtp.starttls(context=tls)
        if self._url.username:
            self._smtp.login(unquote(self._url.username), unquote(self._url.password or ""))

    def _hand_over(self, message: EmailMessage) -> None:
        if self._smtp is None:
            raise smtplib.SMTPServerDisconnected
        refused = self._smtp.send_message(message)
        if refused:
            logger.warning("the mail server takes no alerts for %d of the addresses", len(refused))

    def _try(self, step: Callable[[], None]) -> Failure | None:
        try:
            step()
        except smtplib.SMTPRecipientsRefused as error:
            codes = sorted({code for code, _ in error.recipients.values()})
            return Failure(f"the mail server refused every address ({', '.join(map(str, codes))})")
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            return Failure(f"the mail server refused the mail ({error.smtp_code})")
        except smtplib.SMTPAuthenticationError as error:
            self.lost = True
            return Failure(f"the mail server refused the login ({error.smtp_code})")
        except smtplib.SMTPNotSupportedError:
            self.lost = True
            return Failure("the mail server offers no STARTTLS, or no login that we know")
        except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: what cannot be said in ASCII
            self.lost = True
            return Failure(f"the mail server cannot be reached ({type(error).__name__})")
        return None


async def _mail_all(
    store: Store, settings: Settings, deliveries: Sequence[Delivery], now: Callable[[], datetime]
) -> int:
    """Sends the mails in one session; when it is lost, those that are left fail with it. Gives how many arrived."""
    if not deliveries:
        return 0
    url = settings.smtp_url.get_secret_value()
    if not url:
        unset = Failure("CARECALL_SMTP_URL is not set any more")
        return sum([await _settle(store, each, unset, now) for each in deliveries])
    server = _MailServer(url)
    until = asyncio.get_running_loop().time() + MAIL_ROUND_S

    async def step(call: Callable[[], Failure | None]) -> Failure | None:
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.to_thread(call)
        except TimeoutError:
            server.cut()
            return Failure("the mail server is too slow")
        except asyncio.CancelledError:
            server.cut()
            raise

    arrived = 0
    failure = await step(server.open)
    for delivery in deliveries:
        if not server.lost:
            failure = await step(partial(server.send, mail(delivery, settings, now())))
        arrived += await _settle(store, delivery, failure, now)
    await asyncio.to_thread(server.close)
    return arrived
