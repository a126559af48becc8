"""The audit trail, for admins to read."""

from community import present, trail
from handlers.base import ApiHandler
from handlers.endpoint import ADMINS, Endpoint, endpoint
from handlers.paging import listed, page_request
from handlers.schemas import audit as schemas
from handlers.schemas.lists import page_of

TAG = "Audit"
FILTERS = ("actor", "what", "about", "before")


class AuditHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Who did what to whom, when and from where, newest first; with parameters, the lines that fit all.",
            roles=ADMINS,
            tag=TAG,
            query=schemas.AuditQuery(),
            answers={200: page_of(schemas.AuditEntry)},
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        asked = self.load_query(*FILTERS)
        page = await trail.list_entries(
            self.deps,
            request,
            actor=int(asked["actor"]) if "actor" in asked else None,
            what=asked.get("what"),
            about=asked.get("about"),
            before=asked.get("before"),
        )
        self.reply(listed(self, page.map(present.audit_entry), request, keep=FILTERS))
