"""The list of alerts for other systems, under ``/api/alerts``."""

from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request

from carecall.dashboard.api_access import Access
from carecall.dashboard.api_models import ERRORS, MOST, AlertOut, AlertsOut, Count, Cursor, Dates
from carecall.dashboard.api_records import Records
from carecall.dashboard.api_request import Asked, cut_of
from carecall.domain.viewer import Viewer
from carecall.exchange.fhir_search import Cut, span_of
from carecall.settings import Settings


def add_alerts(app: FastAPI, records: Records, settings: Settings, access: Access) -> None:
    run, care = records.run, records.care

    @app.get("/alerts", responses=ERRORS, summary="What waits for somebody, oldest first.")
    async def alerts(
        request: Request,
        viewer: Annotated[Viewer, Depends(access)],
        settled: Annotated[bool, Query(description="Settled ones too.")] = False,
        raised: Dates = (),
        count: Count = MOST,
        cursor: Cursor = None,
    ) -> AlertsOut:
        asked = Asked.of(request, viewer, settings)
        after, span = cut_of(cursor).place, span_of("raised", raised)
        found = await run(care.listed_alerts, viewer, settled=settled, span=span, after=after, limit=count + 1)
        following = None
        if len(found) > count:
            found = found[:count]
            following = asked.page(Cut((found[-1].raised_at, found[-1].id)))
        await records.told(asked, "alerts", [each.recipient_id for each in found])
        return AlertsOut(alerts=[AlertOut.model_validate(each, from_attributes=True) for each in found], next=following)
