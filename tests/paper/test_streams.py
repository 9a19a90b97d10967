"""User data streams, heard with python-binance's own sockets: events, their order, and what goes wrong."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.paper.listening import beside, futures_ear, listened, spot_ear, subscribe_frame
from tests.support.paper import Paper

BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.005"}
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}


def order(paper: Paper, key: str, **wanted: Any) -> dict[str, Any]:
    answer = paper.order(api_key=key, **wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def futures(paper: Paper, key: str, method: str, path: str, **wanted: Any) -> dict[str, Any]:
    answer = paper.signed(method, f"/fapi/v1/{path}", key, **wanted)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_market_order_is_told_as_new_then_as_its_trades(paper: Paper, key: str) -> None:
    async def run() -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
        async with spot_ear(paper, key) as ear:
            placed = await beside(lambda: order(paper, key, newClientOrderId="mine", **BUY))
            await ear.until(lambda heard: any(one["e"] == "outboundAccountPosition" for one in heard))
            return placed, await ear.named("executionReport", 2), ear.heard

    placed, reports, heard = listened(run())
    assert [(one["x"], one["X"]) for one in reports] == [("NEW", "NEW"), ("TRADE", "FILLED")]
    traded, [fill] = reports[1], placed["fills"]
    assert (traded["i"], traded["c"], traded["C"]) == (placed["orderId"], "mine", "")
    assert (traded["l"], traded["L"], traded["t"]) == (fill["qty"], fill["price"], fill["tradeId"])
    assert (traded["n"], traded["N"]) == (fill["commission"], "BTC")
    assert (traded["z"], traded["Z"]) == (placed["executedQty"], placed["cummulativeQuoteQty"])
    position = heard[-1]
    held = paper.books(key)["balances"]
    assert {one["a"]: (one["f"], one["l"]) for one in position["B"]} == {
        name: (held[name]["free"], held[name]["locked"]) for name in ("BTC", "USDT")
    }
    assert all(abs(one["E"] - paper.now_ms()) < 60_000 for one in heard)


def test_a_cancel_names_both_ids(paper: Paper, key: str) -> None:
    async def run() -> list[dict[str, Any]]:
        async with spot_ear(paper, key) as ear:
            await beside(lambda: order(paper, key, newClientOrderId="mine", price="60000", **LIMIT))
            wanted = {"symbol": "BTCUSDT", "origClientOrderId": "mine", "newClientOrderId": "away"}
            await beside(lambda: paper.signed("DELETE", "/api/v3/order", key, **wanted))
            return await ear.named("executionReport", 2)

    _, gone = listened(run())
    assert (gone["x"], gone["X"], gone["c"], gone["C"], gone["w"]) == (
        "CANCELED",
        "CANCELED",
        "away",
        "mine",
        False,
    )


def test_an_oco_tells_of_its_list_and_of_both_orders(paper: Paper, key: str) -> None:
    pair = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.01",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "66000",
        "aboveClientOrderId": "target",
        "belowType": "STOP_LOSS",
        "belowStopPrice": "59000",
        "belowClientOrderId": "stop",
    }

    async def run() -> list[dict[str, Any]]:
        async with spot_ear(paper, key) as ear:
            paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "62000"})
            answer = await beside(lambda: paper.signed("POST", "/api/v3/orderList/oco", key, **pair))
            assert answer.status_code == 200, answer.text
            await beside(lambda: paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "58000"}))
            return await ear.until(lambda heard: any(one.get("L") == "ALL_DONE" for one in heard))

    heard = listened(run())
    lists = [one for one in heard if one["e"] == "listStatus"]
    assert [(one["c"], one["l"], one["L"], len(one["O"])) for one in lists] == [
        ("OCO", "EXEC_STARTED", "EXECUTING", 2),
        ("OCO", "ALL_DONE", "ALL_DONE", 2),
    ]
    story = [(one["c"], one["x"], one["X"]) for one in heard if one["e"] == "executionReport"]
    assert story == [
        ("stop", "NEW", "NEW"),
        ("target", "NEW", "NEW"),
        (story[2][0], "EXPIRED", "EXPIRED"),
        ("stop", "NEW", "NEW"),
        ("stop", "TRADE", "FILLED"),
    ]
    [expired] = [one for one in heard if one.get("x") == "EXPIRED"]
    assert (expired["c"], expired["eR"]) == ("target", "OCO_TRIGGER")


def test_a_deposit_and_a_withdrawal_are_told(paper: Paper, key: str) -> None:
    async def run() -> list[dict[str, Any]]:
        async with spot_ear(paper, key) as ear:
            body = {"apiKey": key, "asset": "USDT", "amount": "12.5"}
            await beside(lambda: paper.control("/paper/deposit", body))
            await beside(lambda: paper.control("/paper/withdraw", body))
            return await ear.named("balanceUpdate", 2)

    assert [(one["a"], one["d"]) for one in listened(run())] == [
        ("USDT", "12.50000000"),
        ("USDT", "-12.50000000"),
    ]


def test_what_was_refused_is_not_told(paper: Paper, key: str) -> None:
    async def run() -> list[dict[str, Any]]:
        async with spot_ear(paper, key) as ear:
            poor = {**BUY, "quantity": "50"}
            await beside(lambda: paper.order(api_key=key, **poor))
            await beside(lambda: order(paper, key, newClientOrderId="real", **BUY))
            return await ear.named("executionReport", 1)

    assert [one["c"] for one in listened(run())] == ["real"]


def test_a_futures_order_tells_of_order_account_and_stop(paper: Paper, key: str) -> None:
    paper.control("/paper/accounts", {"apiKey": key})
    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "62000"})
    stop = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "algoType": "CONDITIONAL",
        "type": "STOP_MARKET",
        "triggerPrice": "61000",
        "closePosition": "true",
        "clientAlgoId": "stop",
    }

    async def run() -> list[dict[str, Any]]:
        async with futures_ear(paper, key) as ear:
            await beside(lambda: futures(paper, key, "POST", "order", newClientOrderId="in", **BUY))
            await beside(lambda: futures(paper, key, "POST", "algoOrder", **stop))
            await beside(lambda: paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "60900"}))
            return await ear.until(
                lambda heard: any(one["e"] == "ALGO_UPDATE" and one["o"]["X"] == "FINISHED" for one in heard)
            )

    heard = listened(run())
    orders = [
        (one["o"]["c"], one["o"]["x"], one["o"]["X"]) for one in heard if one["e"] == "ORDER_TRADE_UPDATE"
    ]
    assert orders == [
        ("in", "NEW", "NEW"),
        ("in", "TRADE", "FILLED"),
        ("stop", "NEW", "NEW"),
        ("stop", "TRADE", "FILLED"),
    ]
    algos = [one["o"] for one in heard if one["e"] == "ALGO_UPDATE"]
    assert [(one["caid"], one["X"]) for one in algos] == [
        ("stop", "NEW"),
        ("stop", "TRIGGERING"),
        ("stop", "FINISHED"),
    ]
    [closing] = [
        one["o"] for one in heard if one.get("o", {}).get("c") == "stop" and one["o"]["x"] == "TRADE"
    ]
    assert (algos[-1]["ai"], closing["ot"], closing["cp"]) == (str(closing["i"]), "STOP_MARKET", True)
    amounts = [one["a"]["P"][0]["pa"] for one in heard if one["e"] == "ACCOUNT_UPDATE"]
    assert amounts == ["0.005", "0"]
    wallet = paper.books(key)["futures"]["walletBalance"]
    assert [one for one in heard if one["e"] == "ACCOUNT_UPDATE"][-1]["a"]["B"][0]["wb"] == wallet


def test_a_liquidation_is_told_by_its_name(paper: Paper, key: str) -> None:
    async def run() -> list[dict[str, Any]]:
        async with futures_ear(paper, key) as ear:
            await beside(lambda: futures(paper, key, "POST", "order", **BUY))
            body = {"apiKey": key, "symbol": "BTCUSDT"}
            await beside(lambda: paper.control("/paper/futures/liquidate", body))
            return await ear.named("ORDER_TRADE_UPDATE", 4)

    forced = [one["o"] for one in listened(run())][2:]
    assert [(one["o"], one["x"]) for one in forced] == [("LIQUIDATION", "NEW"), ("LIQUIDATION", "CALCULATED")]
    assert all(one["c"] == f"autoclose-{one['i']}" for one in forced)


async def bare(paper: Paper, path: str) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    session = aiohttp.ClientSession()
    return session, await session.ws_connect(paper.url + path)


@pytest.mark.parametrize("path", ["/private/ws/{}", "/private/ws?listenKey={}", "/ws/{}", "/ws?listenKey={}"])
def test_each_address_of_a_futures_stream_works_until_the_key_expires(
    paper: Paper, key: str, path: str
) -> None:
    listen_key = futures(paper, key, "POST", "listenKey")["listenKey"]

    async def run() -> list[Any]:
        session, socket = await bare(paper, path.format(listen_key))
        async with session:
            await beside(lambda: futures(paper, key, "POST", "order", **BUY))
            heard = [await socket.receive_json(timeout=10) for _ in range(3)]
            await beside(lambda: paper.control("/paper/streams", {"expire": True}))
            heard.append(await socket.receive_json(timeout=10))
            await socket.close()
            return heard

    *events, last = listened(run())
    assert [one["e"] for one in events] == ["ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"]
    assert (last["e"], last["listenKey"]) == ("listenKeyExpired", listen_key)
    answer = paper.signed("PUT", "/fapi/v1/listenKey", key)
    assert answer.json()["code"] == -1125


def test_the_web_socket_api_refuses_what_the_exchange_refuses(paper: Paper, key: str) -> None:
    async def run() -> list[Any]:
        session, socket = await bare(paper, "/ws-api/v3")
        async with session:
            method = "userDataStream.subscribe.signature"
            asked = [
                {"id": 1, "method": method, "params": {"apiKey": key, "timestamp": paper.now_ms()}},
                {"id": 2, "method": method, "params": {"apiKey": key, "timestamp": 1, "signature": "00"}},
                {"id": 3, "method": method, "params": {"apiKey": "nobody", "timestamp": 1, "signature": ""}},
                {"id": 4, "method": "order.dance"},
                {"id": 5, "method": "session.subscriptions"},
                {"id": 6, "method": "userDataStream.unsubscribe", "params": {"subscriptionId": 7}},
            ]
            for one in asked:
                await socket.send_json(one)
            heard = [await socket.receive_json(timeout=10) for _ in asked]
            await socket.send_str("nonsense")
            heard.append(await socket.receive_json(timeout=10))
            await socket.close()
            return heard

    heard = listened(run())
    codes = [(one["id"], one["status"], one.get("error", {}).get("code")) for one in heard]
    assert codes == [
        (1, 400, -1102),
        (2, 400, -1022),
        (3, 401, -2015),
        (4, 400, -1020),
        (5, 200, None),
        (6, 400, -2036),
        (None, 400, -1135),
    ]


@pytest.mark.parametrize(
    ("kind", "options", "ids"),
    [
        ("stream_lose", {}, ["b", "c"]),
        ("stream_duplicate", {}, ["a", "a", "b", "c"]),
        ("stream_reorder", {"seconds": 5}, ["b", "a", "c"]),
        ("stream_delay", {"seconds": 0.3}, ["a", "b", "c"]),
    ],
)
def test_a_stream_loses_repeats_swaps_and_delays_events(
    paper: Paper, key: str, kind: str, options: dict[str, Any], ids: list[str]
) -> None:
    async def run() -> list[str]:
        async with spot_ear(paper, key) as ear:
            fault = {"kind": kind, "event": "executionReport", "apiKey": key, **options}
            await beside(lambda: paper.control("/paper/faults", fault))
            for name in ("a", "b", "c"):
                await beside(
                    lambda name=name: order(paper, key, newClientOrderId=name, price="60000", **LIMIT)
                )
            reports = await ear.named("executionReport", len(ids))
            return [one["c"] for one in reports]

    paper.control("/paper/price", {"symbol": "BTCUSDT", "price": "62000"})
    assert listened(run()) == ids


def test_a_dropped_stream_ends_without_the_event_and_can_be_opened_again(paper: Paper, key: str) -> None:
    async def run() -> tuple[aiohttp.WSMsgType, list[dict[str, Any]]]:
        session, socket = await bare(paper, "/ws-api/v3")
        async with session:
            await socket.send_json(subscribe_frame(paper, key))
            assert (await socket.receive_json(timeout=10))["result"] == {"subscriptionId": 0}
            await beside(lambda: paper.control("/paper/faults", {"kind": "stream_drop", "apiKey": key}))
            await beside(lambda: order(paper, key, newClientOrderId="lost", **BUY))
            ended = await socket.receive(timeout=10)
        async with spot_ear(paper, key) as ear:
            await beside(lambda: order(paper, key, newClientOrderId="heard", **BUY))
            return ended.type, await ear.named("executionReport", 2)

    ended, reports = listened(run())
    assert ended in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert {one["c"] for one in reports} == {"heard"}


def test_one_connection_hears_of_several_accounts_each_once(paper: Paper, key: str) -> None:
    other = f"{key}-other"

    async def run() -> tuple[list[Any], list[Any]]:
        session, socket = await bare(paper, "/ws-api/v3")
        async with session:
            for number, name in enumerate((key, other, key)):
                await socket.send_json(subscribe_frame(paper, name, number))
            answers = [await socket.receive_json(timeout=10) for _ in range(3)]
            await beside(lambda: order(paper, other, newClientOrderId="theirs", **BUY))
            events = [await socket.receive_json(timeout=10) for _ in range(3)]
            await socket.send_json({"id": 9, "method": "userDataStream.unsubscribe"})
            events += [await socket.receive_json(timeout=10) for _ in range(3)]
            await socket.close()
            return answers, events

    answers, events = listened(run())
    assert [one.get("result") for one in answers[:2]] == [{"subscriptionId": 0}, {"subscriptionId": 1}]
    assert answers[2]["error"]["code"] == -2035
    told = [(one.get("subscriptionId"), one.get("event", {}).get("e")) for one in events]
    assert told == [
        (1, "executionReport"),
        (1, "executionReport"),
        (1, "outboundAccountPosition"),
        (0, "eventStreamTerminated"),
        (1, "eventStreamTerminated"),
        (None, None),
    ]


def test_a_stream_connection_can_be_refused(paper: Paper) -> None:
    paper.control("/paper/faults", {"kind": "stream_refuse", "market": "spot"})

    async def run() -> int:
        async with aiohttp.ClientSession() as session:
            try:
                await session.ws_connect(paper.url + "/ws-api/v3")
            except aiohttp.WSServerHandshakeError as error:
                return error.status
        return 0

    assert listened(run()) == 503
