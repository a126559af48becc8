"""Every path of the server in one table, and the application made of it.

A route whose handler does not say who may call it stops the server from starting.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import orjson
from tornado.web import Application, RequestHandler

from config.deps import Deps
from handlers import (
    accounts,
    achievements,
    ambassadors,
    announcements,
    audit,
    auth,
    connect,
    devices,
    docs_page,
    exports,
    feed,
    media,
    operators,
    payouts,
    profiles,
    subscriptions,
    trainers,
    training,
)
from handlers.base import ApiHandler, NotFoundHandler
from handlers.bodies import BoundedApplication
from handlers.endpoint import Route, check
from handlers.feed_socket import MAX_FRAME_BYTES, FeedSocketHandler
from handlers.openapi import build_document

VERSION = "0.1.0"
SOCKET_PATH = r"/ws/community/feed/?"

access_log = logging.getLogger("cohort.access")

ROUTES: Sequence[Route] = (
    Route("/api/auth/users/", accounts.UsersHandler, "users"),
    Route("/api/auth/users/me/", accounts.MeHandler, "me"),
    Route("/api/auth/users/set_password/", accounts.SetPasswordHandler, "set_password"),
    Route("/api/auth/users/reset_password/", accounts.ResetPasswordHandler, "reset_password"),
    Route("/api/auth/users/reset_password_confirm/", accounts.ConfirmResetHandler, "reset_password_confirm"),
    Route("/api/auth/users/verify_email/", accounts.VerifyEmailHandler, "verify_email"),
    Route(
        "/api/auth/users/verify_email_confirm/", accounts.ConfirmVerificationHandler, "verify_email_confirm"
    ),
    Route("/api/auth/users/set_email/", accounts.SetEmailHandler, "set_email"),
    Route("/api/auth/users/set_email_confirm/", accounts.ConfirmEmailHandler, "set_email_confirm"),
    Route("/api/auth/users/set_email_undo/", accounts.KeepEmailHandler, "set_email_undo"),
    Route("/api/auth/jwt/create/", auth.CreateTokensHandler, "jwt_create"),
    Route("/api/auth/jwt/refresh/", auth.RefreshTokensHandler, "jwt_refresh"),
    Route("/api/auth/jwt/verify/", auth.VerifyTokenHandler, "jwt_verify"),
    Route("/api/auth/logout/", auth.LogoutHandler, "logout"),
    Route("/api/users/device-tokens/", devices.DeviceTokensHandler, "device_tokens"),
    Route("/api/users/me/export/", exports.ExportHandler, "export"),
    Route("/api/users/export/download/", exports.ExportDownloadHandler, "export_download"),
    Route("/api/trainer/invites/", trainers.InvitesHandler, "invites"),
    Route("/api/trainer/invites/{invite_id}/", trainers.InviteHandler, "invite"),
    Route("/api/trainer/trainees/", trainers.TraineesHandler, "trainees"),
    Route("/api/trainer/trainees/{user_id}/", trainers.TraineeHandler, "trainee"),
    Route("/api/trainer/announcements/", announcements.OwnAnnouncementsHandler, "own_announcements"),
    Route(
        "/api/trainer/announcements/{announcement_id}/",
        announcements.OwnAnnouncementHandler,
        "own_announcement",
    ),
    Route("/api/community/announcements/", announcements.ReceivedAnnouncementsHandler, "announcements"),
    Route("/api/community/announcements/unread-count/", announcements.UnreadCountHandler, "unread_count"),
    Route("/api/community/announcements/mark-read/", announcements.MarkReadHandler, "mark_read"),
    Route("/api/community/achievements/", achievements.AchievementsHandler, "achievements"),
    Route(
        "/api/community/achievements/recent/", achievements.RecentAchievementsHandler, "recent_achievements"
    ),
    Route("/api/community/feed/", feed.FeedHandler, "feed"),
    Route("/api/community/feed/{post_id}/", feed.PostHandler, "post"),
    Route("/api/community/feed/{post_id}/react/", feed.ReactHandler, "react"),
    Route("/api/community/feed/{post_id}/reactions/", feed.ReactionsHandler, "reactions"),
    Route("/api/community/feed/{post_id}/comments/", feed.CommentsHandler, "comments"),
    Route("/api/community/feed/{post_id}/comments/{comment_id}/", feed.CommentHandler, "comment"),
    Route("/api/workouts/daily-logs/", training.DailyLogsHandler, "daily_logs"),
    Route("/api/workouts/daily-logs/{date}/", training.DailyLogHandler, "daily_log"),
    Route("/api/community/leaderboard/", training.LeaderboardHandler, "leaderboard"),
    Route("/api/trainer/leaderboard-settings/", training.LeaderboardSettingsHandler, "leaderboard_settings"),
    Route("/api/users/profiles/leaderboard-opt-in/", training.LeaderboardOptInHandler, "leaderboard_opt_in"),
    Route("/api/users/profiles/image/", profiles.ProfileImageHandler, "profile_image"),
    Route("/media/{folder}/{file}", media.MediaHandler, "media"),
    Route("/api/trainer/subscription/", subscriptions.SubscriptionHandler, "subscription"),
    Route("/api/trainer/subscription/checkout/", subscriptions.CheckoutHandler, "subscription_checkout"),
    Route("/api/trainer/subscription/portal/", subscriptions.PortalHandler, "subscription_portal"),
    Route("/api/payments/stripe/webhook/", subscriptions.WebhookHandler, "stripe_webhook"),
    Route("/api/ambassador/dashboard/", ambassadors.DashboardHandler, "dashboard"),
    Route("/api/ambassador/referrals/", ambassadors.OwnReferralsHandler, "own_referrals"),
    Route("/api/ambassador/referral-code/", ambassadors.ReferralCodeHandler, "referral_code"),
    Route("/api/ambassador/statement/", ambassadors.StatementHandler, "statement"),
    Route("/api/admin/ambassadors/", ambassadors.AmbassadorsHandler, "ambassadors"),
    Route("/api/admin/ambassadors/{ambassador_id}/", ambassadors.AmbassadorHandler, "ambassador"),
    Route("/api/ambassador/connect/status/", connect.ConnectStatusHandler, "connect_status"),
    Route("/api/ambassador/connect/onboard/", connect.OnboardHandler, "connect_onboard"),
    Route("/api/ambassador/connect/return/", connect.ConnectReturnHandler, "connect_return"),
    Route("/api/ambassador/connect/refresh/", connect.ConnectRefreshHandler, "connect_refresh"),
    Route("/api/ambassador/payouts/", payouts.OwnPayoutsHandler, "own_payouts"),
    Route("/api/admin/ambassadors/{ambassador_id}/payout/", payouts.PayoutHandler, "payout"),
    Route("/api/admin/ambassadors/{ambassador_id}/payouts/", payouts.PayoutsHandler, "payouts"),
    Route("/api/admin/audit/", audit.AuditHandler, "audit"),
    Route("/healthz", operators.HealthHandler, "healthz"),
    Route("/readyz", operators.ReadyHandler, "readyz"),
    Route("/metrics", operators.MetricsHandler, "metrics"),
    Route("/api/schema/", operators.SchemaHandler, "schema"),
    Route("/api/docs/", operators.DocsHandler, "docs"),
)


def make_app(deps: Deps) -> Application:
    """Give the application. Raises ``TypeError`` for a route that does not declare itself."""
    check(ROUTES)
    document, page = published()
    is_all_told_here = deps.settings.operations_port is None
    extra: dict[type[ApiHandler], dict[str, Any]] = {
        operators.SchemaHandler: {"document": document},
        operators.DocsHandler: {"page": page},
        operators.ReadyHandler: {"tells_details": is_all_told_here},
    }
    routes = [each for each in ROUTES if is_all_told_here or each.handler is not operators.MetricsHandler]
    rules: list[Any] = [(SOCKET_PATH, FeedSocketHandler, {"deps": deps})]
    return _application(deps, [*rules, *_rules(deps, routes, extra)])


def make_operations_app(deps: Deps) -> Application:
    """Give what a server with a port for operators serves there: is it alive, can it serve, how is it doing."""
    told = (operators.HealthHandler, operators.ReadyHandler, operators.MetricsHandler)
    routes = [each for each in ROUTES if each.handler in told]
    return _application(deps, _rules(deps, routes, {operators.ReadyHandler: {"tells_details": True}}))


def _rules(
    deps: Deps, routes: Sequence[Route], extra: Mapping[type[ApiHandler], dict[str, Any]]
) -> list[Any]:
    return [
        (
            route.pattern,
            route.handler,
            {"deps": deps, "route": route.template, **extra.get(route.handler, {})},
        )
        for route in routes
    ]


def _application(deps: Deps, rules: list[Any]) -> Application:
    return BoundedApplication(
        rules,
        default_handler_class=NotFoundHandler,
        default_handler_args={"deps": deps, "route": "none"},
        log_function=partial(_observe, deps),
        websocket_max_message_size=MAX_FRAME_BYTES,
    )


@cache
def published() -> tuple[bytes, bytes]:
    """Give the contract as JSON and as a page, made once: it does not change while a process lives.

    The first call takes a fifth of a second.
    """
    document = build_document(ROUTES, version=VERSION)
    return orjson.dumps(document), docs_page.render(document)


def _observe(deps: Deps, handler: RequestHandler) -> None:
    """Count and log one answered request. The path goes without its query: tokens may be there."""
    route = handler.route if isinstance(handler, ApiHandler) else "websocket"
    seconds = handler.request.request_time()
    request = handler.request
    status = handler.get_status()
    deps.metrics.observe_request(method=str(request.method), route=route, status=status, seconds=seconds)
    if access_log.isEnabledFor(logging.INFO):
        access_log.info("%s %s %d %.1f ms", request.method, request.path, status, seconds * 1000)
