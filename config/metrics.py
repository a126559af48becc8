"""The figures one process counts about itself, and their text for Prometheus.

Nothing here decides what happens or when; parts of the server are given a `Metrics` and count on it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

# A method is whatever the client wrote; only these become a label, so that a client cannot make new series.
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD: Final = "other"

# Seconds. Spread around what was measured for a feed page: 1 ms alone, 20-300 ms with 32-256 connections, and the
# five seconds after which a query is given up.
LATENCY_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# Seconds. From what a turn of an idle loop takes to what a person notices; 0.05 is what is asked of it.
LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Where a returning client's missed events came from: memory, the event log, or nowhere (it was told to reload).
REPLAY_SOURCES: Final = ("ring", "log", "none")

# The limits that a refused request may have reached.
RATE_CLASSES: Final = ("reads", "writes", "creates", "auth")


# Kept; told just before; its cause was deleted meanwhile; too old when its turn came.
NOTICE_RESULTS: Final = ("accepted", "debounced", "gone", "expired")
# Taken by FCM; the token is dead; refused for good; dropped, where nobody knows or it could not be sent in time.
PUSH_RESULTS: Final = ("sent", "dead", "refused", "dropped")
# Seconds. From an idle FCM's answer to the quarter of an hour after which a notice is dropped.
DELAY_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
PAYOUT_STATES = ("CLAIMED", "SENDING", "UNKNOWN")


class Metrics:
    """All figures of one process, in a registry of its own, so that two servers in one process stay apart.

    The attributes are counted on directly: ``metrics.resyncs.inc()``, ``metrics.replays["ring"].inc()``,
    ``metrics.connections.set(12)``. Series with labels exist from the start, at zero.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        # Memory, processor seconds and open files of the process; read from /proc, where there is one, at a scrape.
        ProcessCollector(registry=self._registry)
        self._requests = self._counter("http_requests", "Requests answered.", ("method", "route", "status"))
        self._latency = Histogram(
            "cohort_http_request_seconds",
            "Seconds from a request's headers to its answer.",
            ("method", "route", "status"),
            registry=self._registry,
            buckets=LATENCY_SECONDS,
        )
        self.loop_lag = Histogram(
            "cohort_loop_lag_seconds",
            "Seconds that whatever was ready waited for the event loop, by a beat of 50 ms.",
            registry=self._registry,
            buckets=LAG_SECONDS,
        )
        self.tasks = self._gauge(
            "asyncio_tasks", "Tasks of the event loop that have not ended, at the time of asking."
        )
        self._request_series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

        self.connections = self._gauge("connections", "WebSocket connections open now.")
        self.rooms = self._gauge("rooms", "Rooms with at least one connection here.")

        self.events_published = self._counter("events_published", "Live events made by this process.")
        self.events_delivered = self._counter("events_delivered", "Live events handed to a connection.")
        self.slow_consumers_dropped = self._counter(
            "slow_consumers_dropped", "Connections closed as too slow."
        )
        self.resyncs = self._counter(
            "resyncs", "Connections told to reload because a gap could not be filled."
        )
        self.event_log_reads = self._counter("event_log_reads", "Queries of the event log for missed events.")
        self.replays = self._counters(
            "replays", "Returning clients served, by source.", "source", REPLAY_SOURCES
        )

        self._payouts = self._counters_now("payouts_open", "Open payouts.", "state", PAYOUT_STATES)
        self.payouts_flagged = self._gauge("payouts_flagged", "Payouts that a person should look at.")

        self._inbox_waiting = self._gauge("webhook_events_waiting", "Events of Stripe to be dealt with.")
        self._inbox_stuck = self._gauge(
            "webhook_events_stuck", "Events of Stripe that failed ten times: a person should look at them."
        )

        self.broker_up = self._gauge("broker_up", "Whether Redis carries events to other instances now.")
        self.broker_sent = self._counter("broker_sent", "Messages handed to Redis.")
        self.broker_received = self._counter(
            "broker_received", "Messages of other instances that came by Redis."
        )
        self.broker_lost = self._counter(
            "broker_lost", "Messages that could not be sent: Redis was away or slow."
        )

        self.rate_limited = self._counters(
            "rate_limited", "Requests refused because a limit was reached.", "class", RATE_CLASSES
        )
        self.rate_limits_shared = self._gauge(
            "rate_limits_shared",
            "1 while Redis counts requests for all instances, 0 while each counts alone.",
        )

        mails = self._counters("mails", "E-mails by outcome.", "result", ("sent", "failed", "dropped"))
        self.mails_sent, self.mails_failed, self.mails_dropped = mails.values()

        self.notices = self._counters(
            "push_notices", "Push notifications by what became of them as a whole.", "result", NOTICE_RESULTS
        )
        self.pushes = self._counters("pushes", "Pushes to single devices by outcome.", "result", PUSH_RESULTS)
        self.push_delay = Histogram(
            "cohort_push_delay_seconds",
            "Seconds from a notice's cause to FCM's taking it for one device.",
            registry=self._registry,
            buckets=DELAY_SECONDS,
        )

    def observe_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request.

        ``route`` is the template of the matched route, never the path: a path would make a series per id.
        """
        key = (method, route, status)
        series = self._request_series.get(key)
        if series is None:
            series = self._new_request_series(key)
        series[0].inc()
        series[1].observe(seconds)

    def show_payouts(self, open_by_state: Mapping[str, int], *, flagged: int) -> None:
        """Show what the last round of the reconciler left, by state, and what waits for a person."""
        for state, gauge in self._payouts.items():
            gauge.set(open_by_state.get(state, 0))
        self.payouts_flagged.set(flagged)

    def show_inbox(self, *, waiting: int, stuck: int) -> None:
        """Show what the last look into the inbox of Stripe's events left."""
        self._inbox_waiting.set(waiting)
        self._inbox_stuck.set(stuck)

    def render(self) -> tuple[bytes, str]:
        """Give all figures in Prometheus's text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def _new_request_series(self, key: tuple[str, str, int]) -> tuple[Counter, Histogram]:
        """Look up the labelled children once: the library's own look-up costs more than the counting."""
        method, route, status = key
        labels = (method if method in METHODS else OTHER_METHOD, route, f"{status // 100}xx")
        series = (self._requests.labels(*labels), self._latency.labels(*labels))
        if method in METHODS:
            self._request_series[key] = series
        return series

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(f"cohort_{name}", says, registry=self._registry)

    def _counters_now(self, name: str, says: str, label: str, values: Sequence[str]) -> Mapping[str, Gauge]:
        family = Gauge(f"cohort_{name}", says, (label,), registry=self._registry)
        return {value: family.labels(value) for value in values}

    def _counter(self, name: str, says: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"cohort_{name}", says, labels, registry=self._registry)

    def _counters(self, name: str, says: str, label: str, values: Sequence[str]) -> Mapping[str, Counter]:
        family = self._counter(name, says, (label,))
        return {value: family.labels(value) for value in values}
