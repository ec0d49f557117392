"""The dashboard as a part of the application."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI

from carecall.dashboard.account import add_account
from carecall.dashboard.admin import add_admin
from carecall.dashboard.answers import add_answers
from carecall.dashboard.api import add_api
from carecall.dashboard.api_tokens import add_api_tokens
from carecall.dashboard.call import add_call
from carecall.dashboard.campaigns import add_campaigns
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.downloads import add_downloads
from carecall.dashboard.live import Live, add_live
from carecall.dashboard.passwords import Passwords
from carecall.dashboard.people import add_people
from carecall.dashboard.people_upload import add_people_upload
from carecall.dashboard.person import add_person
from carecall.dashboard.recipient import add_recipient
from carecall.dashboard.security import Guard
from carecall.dashboard.sessions import Sessions
from carecall.dashboard.sign_in import add_sign_in
from carecall.dashboard.static_files import add_static
from carecall.dashboard.talk import Talk, add_talk
from carecall.dashboard.today import add_today
from carecall.dashboard.work import add_work
from carecall.settings import Settings
from carecall.store import Store


@dataclass(frozen=True, slots=True)
class Ports:
    """What pages need of the running program beside the store. None where it does not run, as in tests."""

    calls_held: Callable[[], int] | None = None
    phrases_missing: Callable[[], int | None] | None = None
    talk: Talk | None = None  # by microphone


def dashboard_router(
    settings: Settings, store: Store, ports: Ports | None = None, live: Live | None = None
) -> APIRouter:
    """All pages. ``add_dashboard`` adds what they need around them."""
    ports = ports or Ports()
    sessions, passwords = Sessions(settings, store), Passwords()
    dashboard = Dashboard(settings, store, sessions.viewer)
    router = APIRouter(include_in_schema=False)
    add_static(router)
    add_sign_in(router, dashboard, sessions, passwords)
    add_account(router, dashboard, sessions, passwords)
    add_admin(router, dashboard, passwords, calls_held=ports.calls_held, phrases_missing=ports.phrases_missing)
    # One line a slice: the page modules add their routes here.
    add_today(router, dashboard)
    add_work(router, dashboard)
    add_live(router, dashboard, live or Live(store))
    add_recipient(router, dashboard)
    add_call(router, dashboard)
    add_talk(router, dashboard, ports.talk)
    add_people_upload(router, dashboard, sessions)
    add_people(router, dashboard)
    add_person(router, dashboard)
    add_campaigns(router, dashboard)
    add_api(router, dashboard)
    add_api_tokens(router, dashboard)
    add_downloads(router, dashboard)
    return router


def add_dashboard(app: FastAPI, settings: Settings, store: Store, ports: Ports | None = None) -> None:
    """Serves the dashboard at ``/``: its pages, the headers, the check of where requests come from, the answers.

    ``app.state.live.close()`` is for whoever ends the server: its streams do not end by themselves.
    """
    app.state.live = live = Live(store)
    app.include_router(dashboard_router(settings, store, ports, live))
    app.add_middleware(Guard, settings=settings)
    add_answers(app, Dashboard(settings, store, Sessions(settings, store).viewer))
