"""Exports of one's own data: asking for one, and fetching it by the mailed link."""

from community import exports, present
from community.accounts import user_id_of
from handlers.base import ApiHandler
from handlers.endpoint import ANY_USER, AUTH, CREATES, PUBLIC, Endpoint, endpoint
from handlers.pieces import PiecesHandler
from handlers.schemas import exports as schemas
from store.exports import FAILED, READY

TAG = "Account"


class ExportHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="All of one's own data as a zip of JSON and pictures: has it made (202) unless there is one (200). "
            "The link goes by mail to the account's address.",
            roles=ANY_USER,
            tag=TAG,
            answers={200: schemas.Export(), 202: schemas.Export()},
            rate=CREATES,
        )
    )
    async def get(self) -> None:
        export = await exports.ask_export(
            self.deps, self.actor, origin=self.client_address, base_url=self.base_url
        )
        self.reply(present.export(export), status=200 if export.state in {READY, FAILED} else 202)


class ExportDownloadHandler(PiecesHandler):
    @endpoint(
        Endpoint(
            summary="Download an export by the mailed link, which is the permission; in parts where that is asked for.",
            roles=PUBLIC,
            tag=TAG,
            query=schemas.ExportLink(),
            answers={200: None, 206: None},
            errors=(404, 416),
            headers={"Content-Range": "Which part this is, of how many bytes."},
            media="application/zip",
            rate=AUTH,
        )
    )
    async def get(self) -> None:
        link = self.load_query("uid", "token")
        export = await exports.open_export(self.deps, user_id=user_id_of(link["uid"]), token=link["token"])
        self.set_header("Content-Type", "application/zip")
        self.set_header("Content-Disposition", 'attachment; filename="cohort-export.zip"')
        self.set_header("Accept-Ranges", "bytes")
        first, last = self.wanted(export.size_bytes or 0)
        self.set_header("Content-Length", str(last - first + 1))
        if self.request.method != "HEAD":
            await self.send_media(export.name, first, last)
