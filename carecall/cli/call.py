"""``carecall call``: one call to one person now, outside of any schedule, made by the worker that runs."""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import available_timezones

import phonenumbers
import typer
from phonenumbers import timezone as number_time_zones

from carecall.domain.attempt import AttemptState
from carecall.domain.language import Language
from carecall.errors import CareCallError, StoreError
from carecall.settings import Settings, settings

if TYPE_CHECKING:
    from carecall.store import Store
    from carecall.store.outreach import Followed
    from carecall.store.people import Listed

_LOOK_S = 0.5
_SILENT_S = 20.0  # a worker without a sign of life for so long is gone

_WORDS = {
    AttemptState.PLANNED: "waiting for the line",
    AttemptState.DIALING: "dialing",
    AttemptState.RINGING: "ringing",
    AttemptState.IN_PROGRESS: "talking",
    AttemptState.COMPLETED: "the talk took place",
    AttemptState.BUSY: "busy",
    AttemptState.NO_ANSWER: "nobody answered",
    AttemptState.MACHINE: "an answering machine took the call",
    AttemptState.FAILED: "the call failed",
    AttemptState.INTERRUPTED: "the call broke off",
}


def call(
    recipient: Annotated[str, typer.Argument(help="The person's id, or their exact name.")],
    dialog: Annotated[
        str, typer.Option(help="Dialog of the call, such as wellbeing; that of their campaign unless given.")
    ] = "",
    phone: Annotated[
        str,
        typer.Option(help="E.164 number: which person of this name; one not known is called on trial (--dialog X.en)."),
    ] = "",
) -> None:
    """Call a person now. Consent, opt-out, pause and contact hours hold; Ctrl-C hangs up."""
    from carecall.store import Store

    effective = settings()
    with Store.open(effective.database, secret=effective.secret_key.get_secret_value()) as store:
        outreach = store.outreach
        if not set(outreach.silent_workers(0)) - set(outreach.silent_workers(_SILENT_S)):
            raise CareCallError("No worker runs: start 'carecall up', or 'carecall work' beside 'carecall serve'.")
        attempt_id = _plan(store, effective, recipient, dialog, phone)
        reached = _follow(store, effective, attempt_id)
    if not reached:
        raise typer.Exit(1)


def _plan(store: "Store", effective: Settings, who: str, dialog: str, phone: str) -> uuid.UUID:
    """The planned attempt. Raises StoreError when the person may not be called, or not now."""
    from carecall.dialog.files import find_dialog
    from carecall.outreach import planning

    found = [each for each in _found(store, who) if phone in ("", each.recipient.phone)]
    if len(found) > 1:
        ids = ", ".join(str(each.recipient.id) for each in found)
        raise CareCallError(f"There are {len(found)} people of this name: give --phone, or one of the ids {ids}.")
    if not found:
        if not phone:
            raise CareCallError("There is nobody of this name: see 'carecall people list', or give --phone.")
        return _plan_trial(store, effective, who, dialog, phone)
    person = found[0]
    now = datetime.now(UTC)
    active = [each.id for each, _ in person.enrollments if each.ended_at is None]
    enrolled = [store.outreach.enrolled_one(enrollment_id) for enrollment_id in active]
    wanted = [each for each in enrolled if dialog.partition(".")[0] in ("", each.campaign.dialog)]
    if not wanted:
        raise CareCallError("This person is in no campaign" + (f" with the dialog {dialog}." if dialog else "."))
    chosen = next((each for each in wanted if planning.may_dial(each, now) is None), wanted[0])
    if refusal := planning.may_dial(chosen, now):
        raise StoreError(planning.words(refusal.reason, refusal.look_again_at, chosen.time_zone, Language.ENGLISH))
    identity = find_dialog(effective.dialogs_dir, f"{chosen.campaign.dialog}.{chosen.language}")
    return store.attempts.create(chosen.enrollment_id, identity)


def _found(store: "Store", who: str) -> "list[Listed]":
    try:
        return [store.people.one(uuid.UUID(who))]
    except ValueError:
        return store.people.named(who)


def _plan_trial(store: "Store", effective: Settings, name: str, dialog: str, phone: str) -> uuid.UUID:
    """An attempt to reach somebody who is not on the list, on their own clock."""
    from carecall.dialog.files import find_dialog

    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_valid_number(number):
        raise CareCallError("--phone is no telephone number with its country code, such as +821012345678.")
    identity = find_dialog(effective.dialogs_dir, dialog)
    zones = [zone for zone in number_time_zones.time_zones_for_number(number) if zone in available_timezones()]
    phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    store.recipients.add(name, phone, identity.language, time_zone=zones[0] if zones else "UTC")
    return store.attempts.ad_hoc(identity, name, identity.language, phone)


def _follow(store: "Store", effective: Settings, attempt_id: uuid.UUID) -> bool:
    """Prints how the call fares until it has ended. Whether the talk took place."""
    said = ""
    stopping = False
    while True:
        try:
            followed = _look(store, attempt_id)
            words = _WORDS[followed.state] if followed.state.terminal or not stopping else "hanging up"
            if words != said:
                typer.echo(words)
                said = words
            if followed.state.terminal:
                break
            time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            if stopping:
                raise
            stopping = True
            _stop(store, effective, attempt_id)
    attempt = store.attempts.get(attempt_id)
    if detail := attempt.outcome or attempt.failure:
        typer.echo(detail.value.replace("_", " "))
    return attempt.state is AttemptState.COMPLETED


def _look(store: "Store", attempt_id: uuid.UUID) -> "Followed":
    try:
        return store.outreach.followed(attempt_id)
    except StoreError:
        raise CareCallError("The call was not made: this person may not be called now. See 'carecall plan'.") from None


def _stop(store: "Store", effective: Settings, attempt_id: uuid.UUID) -> None:
    """Ends the call, or has it not made."""
    from telephony.dialer import TwilioDialer

    followed = _look(store, attempt_id)
    if followed.state is AttemptState.PLANNED:
        store.attempts.advance(attempt_id, AttemptState.FAILED)
    elif followed.call_sid is not None:
        asyncio.run(TwilioDialer(effective).hang_up(followed.call_sid))
