"""The store as one object: a class a noun, all on one client.

Opening it applies the indexes; nothing is connected before that, and nothing of the product is decided here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.clock import Clock
from store.achievements import Achievements
from store.ambassadors import Ambassadors
from store.announcements import Announcements
from store.audit import Audit
from store.billing import Billing
from store.comments import Comments
from store.commissions import Commissions
from store.connect_accounts import ConnectAccounts
from store.controls import Controls
from store.daily_logs import DailyLogs
from store.database import Database
from store.device_tokens import DeviceTokens
from store.email_links import EmailLinks
from store.erasures import Erasures
from store.events import Events
from store.exports import Exports
from store.idempotency import Idempotency
from store.ids import IdSource
from store.inbox import Inbox
from store.indexes import apply_indexes
from store.invites import Invites
from store.ledger import Ledger
from store.notices import Notices
from store.own_data import OwnData
from store.password_resets import PasswordResets
from store.payouts import Payouts
from store.posts import Posts
from store.reactions import Reactions
from store.recount import Recount
from store.recount_training import TrainingRecount
from store.referrals import Referrals
from store.sessions import Sessions
from store.training import Training
from store.users import Users


class Store:
    """Every noun of the database by its name."""

    def __init__(self, database: Database, clock: Clock) -> None:
        ids = IdSource(lambda: clock.now().timestamp())
        self.database = database
        self.ids = ids
        self.controls = Controls(database, clock)
        self.audit = Audit(database, ids, clock)
        self.events = Events(database, clock)
        self.invites = Invites(database, ids, clock)
        self.users = Users(
            database,
            events=self.events,
            invites=self.invites,
            controls=self.controls,
            audit=self.audit,
            ids=ids,
            clock=clock,
        )
        self.sessions = Sessions(database, self.controls, self.audit, clock)
        self.email_links = EmailLinks(
            database, users=self.users, controls=self.controls, audit=self.audit, ids=ids, clock=clock
        )
        self.notices = Notices(database, clock)
        self.erasures = Erasures(
            database,
            invites=self.invites,
            controls=self.controls,
            notices=self.notices,
            audit=self.audit,
            clock=clock,
        )
        self.exports = Exports(database, self.audit, clock)
        self.own_data = OwnData(database)
        self.password_resets = PasswordResets(database, clock)
        self.device_tokens = DeviceTokens(database, ids, clock)
        self.posts = Posts(database, self.events, ids, clock)
        self.daily_logs = DailyLogs(database, self.events, self.posts, clock)
        self.training = Training(database)
        self.achievements = Achievements(
            database, events=self.events, posts=self.posts, notices=self.notices, ids=ids, clock=clock
        )
        self.announcements = Announcements(database, self.notices, ids, clock)
        self.comments = Comments(database, self.events, self.notices, ids, clock)
        self.reactions = Reactions(database, self.notices, ids, clock)
        self.idempotency = Idempotency(database, ids, clock)
        self.ledger = Ledger(database, ids, clock)
        self.ambassadors = Ambassadors(database, clock)
        self.commissions = Commissions(database, self.ledger, ids, clock)
        self.payouts = Payouts(
            database,
            commissions=self.commissions,
            ledger=self.ledger,
            audit=self.audit,
            ids=ids,
            clock=clock,
        )
        self.connect_accounts = ConnectAccounts(database, clock)
        self.billing = Billing(database, clock)
        self.inbox = Inbox(database, clock)
        self.referrals = Referrals(
            database,
            ambassadors=self.ambassadors,
            billing=self.billing,
            commissions=self.commissions,
            ids=ids,
            clock=clock,
        )
        self.recount = Recount(database)
        self.training_recount = TrainingRecount(database)


@asynccontextmanager
async def open_store(uri: str, clock: Clock) -> AsyncIterator[Store]:
    """Connect, apply the indexes and give the store; closed on the way out.

    Raises ``StoreUnavailable`` where no primary answers within three seconds.
    """
    database = Database(uri)
    try:
        await database.ping()
        await apply_indexes(database.raw)
        yield Store(database, clock)
    finally:
        await database.close()
