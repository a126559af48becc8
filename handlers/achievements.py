"""Achievements: all of them with one's own progress, and those earned last."""

from community import achievements, present
from handlers.base import ApiHandler
from handlers.endpoint import ANY_USER, Endpoint, endpoint
from handlers.schemas import achievements as schemas
from handlers.schemas.lists import page_of

TAG = "Achievements"
# In the form of a list, but whole.
ONE_PAGE = page_of(schemas.Achievement)


class AchievementsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="All achievements with one's own progress, on one page.",
            roles=ANY_USER,
            tag=TAG,
            answers={200: ONE_PAGE},
            errors=(404,),
            cached=True,
        )
    )
    async def get(self) -> None:
        self.reply(_one_page(await achievements.list_achievements(self.deps, self.actor)))


class RecentAchievementsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="The five achievements one earned last, the latest first.",
            roles=ANY_USER,
            tag=TAG,
            answers={200: ONE_PAGE},
            cached=True,
        )
    )
    async def get(self) -> None:
        self.reply(_one_page(await achievements.list_recent(self.deps, self.actor)))


def _one_page(results: list[present.Json]) -> dict[str, object]:
    return {"next": None, "previous": None, "results": results}
