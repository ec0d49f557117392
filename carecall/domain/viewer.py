"""Who looks at the dashboard, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from carecall.domain.language import Language


class Role(StrEnum):
    """What somebody may do; each may do what those before may."""

    VIEWER = "viewer"  # sees, and changes nothing
    CARE_WORKER = "care_worker"  # works on alerts and tasks, corrects findings, edits memory
    SUPERVISOR = "supervisor"  # people and campaigns, exports
    ADMIN = "admin"  # users, audit, retention, system health

    @property
    def rank(self) -> int:
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class Viewer:
    """A user who is signed in. Every query of the dashboard is asked on behalf of one, and sees one organisation."""

    user_id: UUID
    organisation_id: UUID
    role: Role
    language: Language
    time_zone: str  # IANA name

    def may(self, role: Role | str) -> bool:
        """Whether they may do what needs at least this role."""
        return self.role.rank >= Role(role).rank
