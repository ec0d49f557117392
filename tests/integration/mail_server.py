"""A mail server on loopback for tests: speaks SMTP with STARTTLS or TLS and a login, and fails as it is told."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class MailServer:
    """What arrived, and what is answered to a command instead of the usual."""

    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)  # by command; HANG waits, DROP ends the connection
    sessions: int = 0
    port: int = 0

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        secure = self.implicit_tls
        try:
            writer.write(b"220 mail.test ESMTP\r\n")
            while line := (await reader.readline()).decode().strip():
                command, _, rest = line.partition(" ")
                self.commands.append(command.upper())
                answer = self.answers.get(command.upper(), "")
                if answer == "HANG":
                    await reader.read()
                if answer in ("HANG", "DROP"):
                    break
                if not answer:
                    answer = await self._usual(command.upper(), rest, reader, writer, secure)
                writer.write(answer.encode() + b"\r\n")
                await writer.drain()
                if command.upper() == "STARTTLS" and answer.startswith("220") and self.tls is not None:
                    await writer.start_tls(self.tls)
                    secure = True
                if command.upper() == "QUIT":
                    break
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _usual(
        self, command: str, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secure: bool
    ) -> str:
        match command:
            case "EHLO":
                extra = "250-STARTTLS\r\n" if self.tls is not None and not secure else ""
                return f"250-mail.test\r\n{extra}250-8BITMIME\r\n250 AUTH PLAIN"
            case "STARTTLS":
                return "220 go on"
            case "AUTH":
                _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                self.logins.append((user, password))
                return "235 welcome"
            case "RCPT":
                self.recipients.append(rest)
                return "250 fine"
            case "DATA":
                writer.write(b"354 go on\r\n")
                raw = await reader.readuntil(b"\r\n.\r\n")
                mail = message_from_bytes(raw.removesuffix(b".\r\n"), policy=policy.default)
                self.mails.append(mail)
                return "250 taken"
            case "QUIT":
                return "221 bye"
            case _:
                return "250 fine"


@asynccontextmanager
async def mail_server(*, tls: ssl.SSLContext | None = None, implicit_tls: bool = False) -> AsyncIterator[MailServer]:
    """A running server on 127.0.0.1."""
    peer = MailServer(tls, implicit_tls)
    server = await asyncio.start_server(peer.hold, "127.0.0.1", 0, ssl=tls if implicit_tls else None)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)


def certificate(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for a host name, and the file of the authority that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    issued = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = folder / "certificate.pem"
    chain.write_bytes(issued.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, chain
