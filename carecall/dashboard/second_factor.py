"""The second factor: six digits that change every half minute (TOTP, RFC 6238), and the picture to set it up."""

import io

import pyotp
import segno

_STEP_S = 30
_WINDOW = 1  # steps that a telephone's clock may be before or after ours


def step_of(secret: str, code: str, at: float) -> int | None:
    """The step that the code belongs to, of those around this moment (Unix seconds); None for a wrong code."""
    digits = "".join(character for character in code if character.isdigit())
    now = int(at) // _STEP_S
    totp = pyotp.TOTP(secret)
    for step in range(now - _WINDOW, now + _WINDOW + 1):
        if pyotp.utils.strings_equal(totp.generate_otp(step), digits):
            return step
    return None


def picture(secret: str, email: str) -> bytes:
    """An SVG that an authenticator app reads."""
    address = pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="CareCall")
    file = io.BytesIO()
    segno.make(address, micro=False).save(file, kind="svg", scale=5, border=4, dark="#000", light="#fff", xmldecl=False)
    return file.getvalue()


def in_groups(secret: str) -> str:
    """The secret as it is typed where no picture can be taken."""
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
