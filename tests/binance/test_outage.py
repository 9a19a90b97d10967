"""Three unknown outcomes within 30 s stop entries on that source until three good probes."""

from __future__ import annotations

from tradebot.binance import outage
from tradebot.binance.sources import source_for


def test_the_third_unknown_stops_entries_and_the_third_good_probe_lets_them_on(settings):
    settings.PAPER_SPOT_URL = "http://127.0.0.1:1"
    paper, testnet = source_for("paper", "spot"), source_for("testnet", "spot")
    for _ in range(2):
        outage.note_unknown(paper)
    assert outage.entries_stopped(paper) is None
    outage.note_unknown(paper)
    assert "three outcomes unknown" in outage.entries_stopped(paper)
    assert outage.entries_stopped(testnet) is None
    for _ in range(2):
        outage.note_good_probe(paper)
    assert outage.entries_stopped(paper) is not None
    outage.note_good_probe(paper)
    assert outage.entries_stopped(paper) is None
    outage.note_unknown(paper)
    assert outage.entries_stopped(paper) is None
