"""The training log, and the leaderboards with their settings."""

from community import leaderboards, present, training
from handlers.base import ApiHandler
from handlers.endpoint import GROUP, TRAINEES, TRAINERS, Endpoint, endpoint
from handlers.paging import listed, page_request
from handlers.schemas import training as schemas
from handlers.schemas.lists import page_of

LOG, BOARDS = "Training log", "Leaderboards"


class DailyLogsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="One's own logs, the latest day first; of a range of days with `from` and `to`.",
            roles=TRAINEES,
            tag=LOG,
            query=schemas.DailyLogQuery(),
            answers={200: page_of(schemas.DailyLog)},
            cached=True,
        )
    )
    async def get(self) -> None:
        request = page_request(self)
        days = self.load_query("from", "to")
        page = await training.list_logs(
            self.deps, self.actor, since=days.get("since"), until=days.get("until"), request=request
        )
        self.reply(listed(self, page.map(present.daily_log), request, keep=("from", "to")))


class DailyLogHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Write one's log of a day: new (201), or its fields that are given (200).",
            roles=TRAINEES,
            tag=LOG,
            body=schemas.DailyLogChanges(),
            answers={200: schemas.DailyLog(), 201: schemas.DailyLog()},
        )
    )
    async def put(self, date: str) -> None:
        on = self.day_of(date)
        written = await training.put_log(self.deps, self.actor, on=on, changes=self.load())
        self.reply(present.daily_log(written.log), status=201 if written.is_new else 200)


class LeaderboardHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Who of the group trained most. Equal values share a rank; `me` is one's own entry.",
            roles=GROUP,
            tag=BOARDS,
            query=schemas.LeaderboardQuery(),
            answers={200: schemas.Leaderboard()},
            cached=True,
        )
    )
    async def get(self) -> None:
        wanted = self.load_query("metric", "period")
        self.reply(await leaderboards.get_leaderboard(self.deps, self.actor, **wanted))


class LeaderboardSettingsHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Which leaderboards of one's own group are on.",
            roles=TRAINERS,
            tag=BOARDS,
            query=schemas.LeaderboardSettingsQuery(),
            answers={200: schemas.LeaderboardSetting(many=True)},
        )
    )
    async def get(self) -> None:
        with_all_time = "include" in self.load_query("include")
        self.reply(await leaderboards.list_settings(self.deps, self.actor, with_all_time=with_all_time))

    @endpoint(
        Endpoint(
            summary="Switch a leaderboard of one's own group on or off.",
            roles=TRAINERS,
            tag=BOARDS,
            body=schemas.NewLeaderboardSetting(),
            answers={200: schemas.LeaderboardSetting()},
            errors=(404,),
        )
    )
    async def put(self) -> None:
        self.reply(await leaderboards.update_setting(self.deps, self.actor, **self.load()))


class LeaderboardOptInHandler(ApiHandler):
    @endpoint(
        Endpoint(
            summary="Show or hide oneself on the group's leaderboards, at once.",
            roles=TRAINEES,
            tag=BOARDS,
            body=schemas.NewLeaderboardOptIn(),
            answers={200: schemas.LeaderboardOptIn()},
            errors=(404,),
        )
    )
    async def put(self) -> None:
        self.reply(await leaderboards.set_opt_in(self.deps, self.actor, **self.load()))
