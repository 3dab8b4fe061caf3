"""The five figures: histograms, delays and what was found late."""

from nostrclient.nostr.figures import LATEST_KEPT, Figures, Histogram, Recovery


def test_i3_histogram_counts_each_duration_within_its_bounds() -> None:
    histogram = Histogram((1, 10))
    for seconds in (0.5, 1, 2, 50):
        histogram.observe(seconds)
    assert histogram.cumulative() == [2, 3, 4]
    assert histogram.count == 4
    assert histogram.total == 53.5


def test_i3_quantile_follows_the_latest_durations() -> None:
    histogram = Histogram((1,))
    assert histogram.quantile(0.5) is None
    histogram.observe(9)
    assert histogram.quantile(0.95) == 9
    for _ in range(LATEST_KEPT):
        histogram.observe(1)
    assert histogram.quantile(0.5) == histogram.quantile(0.99) == 1
    for _ in range(LATEST_KEPT // 10):
        histogram.observe(5)
    assert histogram.quantile(0.5) == 1
    assert histogram.quantile(0.95) == 5


def test_i3_discovery_delay_is_measured_for_events_made_while_subscribed() -> None:
    figures = Figures()
    figures.delivered(created_at=99, wall=110, opened=100, recovery=None)
    assert figures.discovery.count == 0  # stored before
    figures.delivered(created_at=100, wall=103.5, opened=100.9, recovery=None)
    assert figures.discovery.total == 3.5
    figures.delivered(created_at=900, wall=103.5, opened=100, recovery=None)
    assert figures.discovery.count == 2
    assert figures.discovery.total == 3.5  # a clock ahead of ours


def test_i3_recovered_events_are_counted_by_how_they_were_found() -> None:
    figures = Figures()
    for recovery in (Recovery.REFRESH, Recovery.REFRESH, Recovery.PAGE, None):
        figures.delivered(1, 2, 3, recovery)
    assert figures.recovered == {
        Recovery.RECONNECT: 0,
        Recovery.REFRESH: 2,
        Recovery.PAGE: 1,
        Recovery.RECONCILIATION: 0,
    }
