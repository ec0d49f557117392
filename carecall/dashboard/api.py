"""The read-only interface for other systems under ``/api``: FHIR R4, a list of alerts, and its own description.

Every request is made with a bearer token of one organisation and is told in the audit trail, by the people whose
records it read.
"""

from fastapi import APIRouter, FastAPI, Request, Response

from carecall import __version__
from carecall.dashboard.api_access import Access, Limit, add_outcomes
from carecall.dashboard.api_alerts import add_alerts
from carecall.dashboard.api_fhir import add_fhir
from carecall.dashboard.api_records import Records
from carecall.dashboard.dashboard import Dashboard
from carecall.dashboard.languages import language_of


def add_api(router: APIRouter, dashboard: Dashboard) -> None:
    router.mount("/api", api_application(dashboard))


def api_application(dashboard: Dashboard, limit: Limit | None = None) -> FastAPI:
    """The interface as an application of its own, to be mounted at ``/api``."""
    app = FastAPI(
        title="CareCall",
        version=__version__,
        description="Read-only: reports of calls as FHIR R4, and the list of alerts.",
        docs_url=None,
        redoc_url=None,
        servers=[{"url": "/api"}],
        root_path_in_servers=False,
    )
    add_outcomes(app)
    settings, store = dashboard.settings, dashboard.store
    access = Access(store, limit or Limit())
    records = Records(store, settings)
    add_fhir(app, records, settings, access, since=store.now())
    add_alerts(app, records, settings, access)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        text = dashboard.render(language_of(request), "api_docs.html", request=request, api=app.openapi())
        return Response(text, media_type="text/html")

    return app
