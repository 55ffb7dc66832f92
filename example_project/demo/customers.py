"""Customers: what people do in the shop and at the ledger, over HTTP, and what they are told."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from example_project.demo.failure import Failure
from example_project.demo.stage import Stage

DECLINED_EVERY = 6
OVER_LIMIT_EVERY = 5
GOOD_CARD, DECLINED_CARD = "4242424242424242", "4000000000000002"
OVER_LIMIT = 1_000_000
NAMES = ("Ada", "Bo", "Chidi", "Dagny", "Ewa", "Farid", "Grete")

PRODUCT_LINK = re.compile(r'href="(/products/[^"]+)"')
CSRF_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
DECLINED_NUMBER = re.compile(r'data-declined="([^"]+)"')


@dataclass(slots=True)
class Told:
    """What the customers were told, by the numbers of their orders and the ids of their transfers."""

    ordered: set[str] = field(default_factory=set)
    declined: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    over_limit: set[str] = field(default_factory=set)

    @property
    def orders(self) -> int:
        return len(self.ordered) + len(self.declined)

    @property
    def transfers(self) -> int:
        return len(self.moved) + len(self.over_limit)


async def play(stage: Stage, told: Told, *, orders: int, transfers: int, clients: int) -> None:
    """Places the orders and asks for the transfers, a few at a time, noting the answers in `told` as they come.

    Raises Failure for an answer that no customer should get.
    """
    orders_left, transfers_left = iter(range(orders)), iter(range(transfers))
    await asyncio.gather(
        *(_visit_shop(stage, told, orders_left) for _ in range(clients)),
        *(_visit_ledger(stage, told, transfers_left) for _ in range(max(clients // 2, 1))),
    )


async def _visit_shop(stage: Stage, told: Told, orders_left: Iterator[int]) -> None:
    async with _browser(stage.shop_url, stage.shop.log) as browser:
        front_page = await browser.get("/")
        products = PRODUCT_LINK.findall(front_page.text)
        if not products:
            raise _unexpected(front_page, stage.shop.log)
        for index in orders_left:
            await _order(browser, products[index // 2 % len(products)], told, index, stage.shop.log)


async def _order(browser: httpx.AsyncClient, product: str, told: Told, index: int, log: Path) -> None:
    page = await browser.get(product)
    is_to_be_declined = index % DECLINED_EVERY == DECLINED_EVERY - 1
    form = {
        "csrfmiddlewaretoken": _read(CSRF_TOKEN, page, log),
        "customer": NAMES[index % len(NAMES)],
        "email": f"{NAMES[index % len(NAMES)].lower()}{index}@customers.example",
        "quantity": str(index % 3 + 1),
        "card_number": DECLINED_CARD if is_to_be_declined else GOOD_CARD,
    }
    answer = await browser.post(page.url, data=form, headers={"Referer": str(page.url)})
    match answer.status_code, is_to_be_declined:
        case 302, False:
            told.ordered.add(answer.headers["Location"].rstrip("/").rpartition("/")[2])
            await browser.get(answer.headers["Location"])
        case 402, True:
            told.declined.add(_read(DECLINED_NUMBER, answer, log))
        case _:
            raise _unexpected(answer, log)


async def _visit_ledger(stage: Stage, told: Told, transfers_left: Iterator[int]) -> None:
    async with _browser(stage.ledger_url, stage.ledger.log) as browser:
        for index in transfers_left:
            await _transfer(browser, told, index, stage.ledger.log)


async def _transfer(browser: httpx.AsyncClient, told: Told, index: int, log: Path) -> None:
    is_to_be_refused = index % OVER_LIMIT_EVERY == OVER_LIMIT_EVERY - 1
    transfer_id = str(uuid.uuid4())
    movement = {"id": transfer_id, "amount": OVER_LIMIT if is_to_be_refused else 100 + index}
    if index % 2:
        answer = await browser.post("/refunds", json={**movement, "memo": "Broken on arrival"})
    else:
        accounts = {"debit": "bank", "credit": "cards", "memo": "Payout of the card company"}
        answer = await browser.post("/transfers", json={**movement, **accounts})
    match answer.status_code, is_to_be_refused:
        case 202, False:
            told.moved.add(transfer_id)
        case 403, True:
            told.over_limit.add(transfer_id)
        case _:
            raise _unexpected(answer, log)


@asynccontextmanager
async def _browser(url: str, log: Path) -> AsyncIterator[httpx.AsyncClient]:
    # Cookies of its own, no proxy, and no certificates: loading those takes longer than ten orders.
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=30) as browser:
        try:
            yield browser
        except httpx.HTTPError as error:
            raise Failure(f"{url} did not answer: {error!r}", log) from error


def _read(pattern: re.Pattern[str], page: httpx.Response, log: Path) -> str:
    match = pattern.search(page.text)
    if not match:
        raise _unexpected(page, log)
    return match[1]


def _unexpected(answer: httpx.Response, log: Path) -> Failure:
    return Failure(f"{answer.request.method} {answer.request.url} answered {answer.status_code}", log)
