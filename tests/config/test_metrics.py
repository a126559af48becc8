"""What the metrics page shows after something was counted.

How often the server counts is tested where it does.
"""

from prometheus_client.parser import text_string_to_metric_families

from config.metrics import METHODS, Metrics


def samples(metrics):
    page, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_request_is_counted_by_template_method_and_class():
    metrics = Metrics()
    for status in (200, 201, 404):
        metrics.observe_request(method="GET", route="/api/x/{id}/", status=status, seconds=0.03)

    found = samples(metrics)

    assert found["cohort_http_requests_total", "/api/x/{id}/", "2xx", "GET"] == 2
    assert found["cohort_http_requests_total", "/api/x/{id}/", "4xx", "GET"] == 1
    assert found["cohort_http_request_seconds_count", "/api/x/{id}/", "2xx", "GET"] == 2
    assert found["cohort_http_request_seconds_bucket", "/api/x/{id}/", "0.05", "2xx", "GET"] == 2
    assert found["cohort_http_request_seconds_bucket", "/api/x/{id}/", "0.025", "2xx", "GET"] == 0


def test_invented_methods_share_one_series():
    metrics = Metrics()
    for number in range(50):
        metrics.observe_request(method=f"FUZZ{number}", route="/", status=405, seconds=0)
    for method in METHODS:
        metrics.observe_request(method=method, route="/", status=405, seconds=0)

    counted = [key for key in samples(metrics) if key[0] == "cohort_http_requests_total"]

    assert len(counted) == len(METHODS) + 1
    assert samples(metrics)["cohort_http_requests_total", "/", "4xx", "other"] == 50


def test_figures_exist_before_anything_happened():
    found = samples(Metrics())

    for name in ("connections", "rooms", "events_published_total", "events_delivered_total"):
        assert found[f"cohort_{name}",] == 0
    for name in ("slow_consumers_dropped_total", "resyncs_total", "event_log_reads_total"):
        assert found[f"cohort_{name}",] == 0
    assert [found["cohort_replays_total", source] for source in ("ring", "log", "none")] == [0, 0, 0]
    assert [found["cohort_mails_total", result] for result in ("sent", "failed", "dropped")] == [0, 0, 0]


def test_attributes_count_into_their_own_series():
    metrics = Metrics()
    metrics.connections.set(3)
    metrics.rooms.inc()
    metrics.events_delivered.inc(1_000)
    metrics.replays["ring"].inc()
    metrics.mails_failed.inc()

    found = samples(metrics)

    assert found["cohort_connections",] == 3
    assert found["cohort_rooms",] == 1
    assert found["cohort_events_delivered_total",] == 1_000
    assert found["cohort_replays_total", "ring"] == 1
    assert (found["cohort_mails_total", "failed"], found["cohort_mails_total", "sent"]) == (1, 0)


def test_two_processes_worth_of_metrics_stay_apart():
    one, other = Metrics(), Metrics()
    one.resyncs.inc()

    assert samples(one)["cohort_resyncs_total",] == 1
    assert samples(other)["cohort_resyncs_total",] == 0
