"""What administrators do: users, the order of escalation, the audit trail, the health of the program."""

import csv
import io
import re
import uuid

from dashboard_office import PASSWORD, Office
from query_plans import plans_of
from sqlmodel import select

from carecall.dashboard.passwords import wrong_with
from carecall.domain.viewer import Role
from carecall.store.audit import note
from carecall.store.care_admin import AuditFilter
from carecall.store.escalation import escalation_order
from carecall.store.tables import AuditRow, UserRow


def role_of(office: Office, user_id: uuid.UUID) -> Role:
    with office.store._database.reading() as session:
        return session.get_one(UserRow, user_id).role


def first_password_in(page: str) -> str:
    return page.split('<code class="large">')[1].split("</code>")[0]


class TestUsers:
    async def test_a_new_user_changes_the_first_password_before_anything_else(self, office: Office) -> None:
        added = await office.admin.post(
            "/admin/users", data={"email": "new@here.test", "name": "박민수", "role": "care_worker", "language": "ko"}
        )
        password = first_password_in(added.text)
        assert wrong_with(password, "new@here.test") is None
        async with office.browser() as browser:
            await browser.post("/sign-in", data={"email": "new@here.test", "password": password})
            for path in ("/", "/account", "/people"):
                assert (await browser.get(path)).headers["location"] == "/account/password"
            assert (await browser.get("/", headers={"HX-Request": "true"})).status_code == 403
            page = await browser.get("/account/password")
            assert '<html lang="ko">' in page.text
            changed = await browser.post(
                "/account/password", data={"current": password, "new": PASSWORD, "again": PASSWORD}
            )
            assert changed.status_code == 303
            assert (await browser.get("/account")).status_code == 200

    async def test_an_address_is_taken_once_over_all_organisations(self, office: Office) -> None:
        for email in ("VIEWER@here.test", "admin@there.test"):
            answer = await office.admin.post("/admin/users", data={"email": email, "role": "viewer", "language": "en"})
            assert answer.status_code == 409
            assert f'value="{email}"' in answer.text  # what was entered is not lost
        answer = await office.admin.post("/admin/users", data={"email": "no", "role": "viewer", "language": "en"})
        assert answer.status_code == 422

    async def test_a_new_role_holds_from_the_next_request_on(self, office: Office) -> None:
        user_id = office.ours.users[Role.SUPERVISOR].user_id
        assert (await office.supervisor.get("/account")).status_code == 200
        answer = await office.admin.post(f"/admin/users/{user_id}/role", data={"role": "viewer", "seen": "supervisor"})
        assert answer.headers["location"] == f"/admin/users/{user_id}?done=role"
        assert role_of(office, user_id) is Role.VIEWER
        assert (await office.supervisor.get("/account")).status_code == 303

    async def test_who_comes_second_is_told_and_changes_nothing(self, office: Office) -> None:
        user_id = office.ours.users[Role.SUPERVISOR].user_id
        async with office.signed_in(office.ours.users[Role.ADMIN]) as second:
            await office.admin.post(f"/admin/users/{user_id}/role", data={"role": "viewer", "seen": "supervisor"})
            answer = await second.post(f"/admin/users/{user_id}/role", data={"role": "admin", "seen": "supervisor"})
            assert answer.status_code == 409
            assert "Nothing was changed" in answer.text
            assert role_of(office, user_id) is Role.VIEWER
            await office.admin.post(f"/admin/users/{user_id}/active", data={"active": "false"})
            assert (await second.post(f"/admin/users/{user_id}/active", data={"active": "false"})).status_code == 409

    async def test_the_last_administrator_stays_one(self, office: Office) -> None:
        user_id = office.ours.users[Role.ADMIN].user_id
        for path, data in (("role", {"role": "viewer", "seen": "admin"}), ("active", {"active": "false"})):
            answer = await office.admin.post(f"/admin/users/{user_id}/{path}", data=data)
            assert answer.status_code == 409
            assert "last administrator" in answer.text
        assert (await office.admin.get("/admin")).status_code == 200

    async def test_a_reset_gives_a_first_password_and_ends_every_session(self, office: Office) -> None:
        user = office.ours.users[Role.CARE_WORKER]
        office.store.users.set_second_factor(user, "JBSWY3DPEHPK3PXP", 1)
        page = await office.admin.post(f"/admin/users/{user.user_id}/reset")
        assert (await office.care_worker.get("/account")).status_code == 303
        async with office.browser() as browser:
            data = {"email": "care_worker@here.test", "password": first_password_in(page.text)}
            assert (await browser.post("/sign-in", data=data)).status_code == 303
            assert (await browser.get("/account")).headers["location"] == "/account/password"

    async def test_every_change_is_in_the_audit_trail(self, office: Office) -> None:
        user_id = office.ours.users[Role.VIEWER].user_id
        await office.admin.post(f"/admin/users/{user_id}/role", data={"role": "supervisor", "seen": "viewer"})
        await office.admin.post(f"/admin/users/{user_id}/reset")
        await office.admin.post(f"/admin/users/{user_id}/active", data={"active": "false"})
        with office.store._database.reading() as session:
            rows = session.exec(select(AuditRow).where(AuditRow.subject == f"user:{user_id}")).all()
        by_admin = [row.action for row in rows if row.actor == str(office.ours.users[Role.ADMIN].user_id)]
        assert by_admin == ["user.role_changed", "user.reset", "user.deactivated"]


class TestEscalation:
    async def test_the_order_is_what_was_chosen(self, office: Office) -> None:
        supervisor, worker = (office.ours.users[role].user_id for role in (Role.SUPERVISOR, Role.CARE_WORKER))
        await office.admin.post("/admin/escalation", data={str(worker): "2", str(supervisor): "1"})
        order = {user.id: user.escalation for user in office.store.users.all(office.ours.users[Role.ADMIN])}
        assert (order[supervisor], order[worker]) == (0, 1)
        await office.admin.post("/admin/escalation", data={str(worker): "1", str(supervisor): ""})
        order = {user.id: user.escalation for user in office.store.users.all(office.ours.users[Role.ADMIN])}
        assert (order[supervisor], order[worker]) == (None, 0)

    async def test_nobody_of_another_organisation_is_put_into_it(self, office: Office) -> None:
        theirs = office.others.users[Role.CARE_WORKER].user_id
        assert (await office.admin.post("/admin/escalation", data={str(theirs): "1"})).status_code == 404

    async def test_only_who_may_act_is_offered_and_taken(self, office: Office) -> None:
        viewer, worker, supervisor = (
            office.ours.users[role].user_id for role in (Role.VIEWER, Role.CARE_WORKER, Role.SUPERVISOR)
        )
        office.store.users.set_active(office.ours.users[Role.ADMIN], supervisor, False)
        page = (await office.admin.get("/admin/escalation")).text
        assert f'name="{worker}"' in page
        for user_id in (viewer, supervisor):
            assert f'name="{user_id}"' not in page
            order = {str(worker): "1", str(user_id): "2"}
            refused = await office.admin.post("/admin/escalation", data=order)
            assert refused.status_code == 409
            assert "The order is not saved" in refused.text
        assert {user.escalation for user in office.store.users.all(office.ours.users[Role.ADMIN])} == {None}

    async def test_nothing_goes_on_to_who_has_become_a_viewer(self, office: Office) -> None:
        worker, supervisor = (office.ours.users[role].user_id for role in (Role.CARE_WORKER, Role.SUPERVISOR))
        await office.admin.post("/admin/escalation", data={str(worker): "1", str(supervisor): "2"})
        await office.admin.post(f"/admin/users/{worker}/role", data={"role": "viewer", "seen": "care_worker"})
        with office.store._database.reading() as session:
            assert escalation_order(session, office.ours.organisation_id) == [supervisor]


class TestAuditTrail:
    def add(self, office: Office, subject: str, *, times: int = 1, actor: str = "carecall") -> None:
        with office.store._database.writing() as session:
            for _ in range(times):
                note(session, office.store._database, actor, "recipient.viewed", subject, seen=True)

    async def test_it_shows_who_saw_what_of_our_organisation_only(self, office: Office) -> None:
        self.add(office, f"recipient:{office.ours.fine}", actor=str(office.ours.users[Role.CARE_WORKER].user_id))
        self.add(office, f"recipient:{office.others.fine}", actor=str(office.others.users[Role.CARE_WORKER].user_id))
        page = (await office.admin.get("/admin/audit?action=recipient.viewed")).text
        assert f"/recipients/{office.ours.fine}" in page
        assert "Care Worker" in page
        assert str(office.others.fine) not in page
        async with office.signed_in(office.others.users[Role.ADMIN]) as theirs:
            page = (await theirs.get("/admin/audit?action=recipient.viewed")).text
            assert f"/recipients/{office.others.fine}" in page
            assert str(office.ours.fine) not in page

    async def test_pages_lead_to_every_entry_once(self, office: Office) -> None:
        ours, theirs = f"recipient:{office.ours.fine}", f"recipient:{office.others.fine}"
        self.add(office, ours, times=30)
        self.add(office, theirs, times=600)
        self.add(office, ours, times=90)
        query, seen, pages = "", 0, 0
        while pages == 0 or query:
            text = (await office.admin.get(f"/admin/audit?action=recipient.viewed{query}")).text
            seen, pages = seen + text.count("<td>Person viewed</td>"), pages + 1
            older = re.search(r"before=\d+", text)
            query = f"&{older[0]}" if older else ""
        assert seen == 120
        assert pages == 3

    async def test_it_is_filtered_by_person_record_and_day(self, office: Office) -> None:
        worker = office.ours.users[Role.CARE_WORKER].user_id
        self.add(office, f"recipient:{office.ours.fine}", actor=str(worker))
        for query, there in (
            (f"who={worker}", True),
            (f"who={office.ours.users[Role.VIEWER].user_id}", False),
            (f"subject=recipient:{office.ours.fine}", True),
            ("since=2026-05-04&until=2026-05-04", True),
            ("since=2026-05-05", False),
            ("until=2026-05-03", False),
            ("since=nonsense", True),
        ):
            page = (await office.admin.get(f"/admin/audit?action=recipient.viewed&{query}")).text
            assert ("<td>Person viewed</td>" in page) is there, query

    async def test_an_action_is_chosen_by_its_words(self, office: Office) -> None:
        self.add(office, f"recipient:{office.ours.fine}")
        page = (await office.admin.get("/admin/audit?action=recipient.viewed")).text
        assert '<option value="recipient.viewed" selected>Person viewed</option>' in page
        assert '<option value="user.signed_in">Signed in</option>' in page
        page = (await office.admin.get("/admin/audit?action=recipient.")).text  # how actions begin
        assert "<option selected>recipient.</option>" in page
        assert "<td>Person viewed</td>" in page

    def test_an_index_leads_to_what_one_person_did(self, office: Office) -> None:
        admin = office.ours.users[Role.ADMIN]
        wanted = AuditFilter(actor=str(admin.user_id))
        plans = plans_of(office.store, lambda: office.store.care.audit_trail(admin, wanted))
        assert "SEARCH audit USING INDEX audit_of_actor (actor=?)" in plans[0]
        assert "TEMP B-TREE" not in plans[0]

    async def test_it_is_taken_away_as_a_table_and_that_is_noted(self, office: Office) -> None:
        self.add(office, f"recipient:{office.ours.fine}", times=3)
        self.add(office, f"recipient:{office.others.fine}", times=3)
        answer = await office.admin.get("/admin/audit.csv?action=recipient.viewed")
        assert answer.headers["content-disposition"].startswith('attachment; filename="audit-')
        rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
        assert [row["subject"] for row in rows] == [f"recipient:{office.ours.fine}"] * 3
        assert rows[0]["details"] == '{"seen": true}'
        page = (await office.admin.get("/admin/audit")).text
        assert "<td>Audit trail downloaded</td>" in page
        assert "<td>Entries: <code>3</code></td>" in page


class TestHealth:
    async def test_it_tells_workers_queues_models_and_disk(self, office: Office) -> None:
        page = (await office.admin.get("/admin/health")).text
        assert "No worker has ever run" in page
        office.store.outreach.sign_of_life("night-shift")
        page = (await office.admin.get("/admin/health")).text
        assert "night-shift" in page
        assert "alive" in page
        assert "2 alerts wait" in page  # of both organisations: a count, and nothing about anybody
        assert "GiB free" in page
