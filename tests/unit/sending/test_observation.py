"""What the answers of an account tell its breaker."""

from collections import Counter

from broadcast.routing import Account
from broadcast.sending.accounts.health.breaker import LEAST_ANSWERS, Breaker, State
from broadcast.sending.accounts.health.observation import AnswerObserver
from broadcast.sending.accounts.health.throttling import Throttling
from broadcast.sending.accounts.selection import Measures
from broadcast.smpp.codec.command_status import RINVBNDSTS, RINVSRCADR
from tests.support.settlement import SettlementUnderTest


def observe(account: Account, answers: list[int]) -> Breaker:
    """The breaker of an account after these answers to as many numbers, that came together."""
    breaker = Breaker(10)
    tokens = [tokens[0] for tokens in SettlementUnderTest(jobs=len(answers)).tokens]
    responses = [(token, status, b"", 1) for token, status in zip(tokens, answers, strict=True)]
    AnswerObserver(breaker, Measures(), Throttling()).observe(account, Counter(answers), responses, 0.0)
    return breaker


def account(own: dict[str, str]) -> Account:
    return Account.model_validate(
        {"name": "acc", "host": "smsc.example", "port": 2775, "system_id": "s", "command_status": own}
    )


def test_a_stopped_account_names_its_most_frequent_fault() -> None:
    for answers in ([RINVBNDSTS] * 7 + [RINVSRCADR] * 13, [RINVSRCADR] * 13 + [RINVBNDSTS] * 7):
        assert observe(account({}), answers).reason.endswith("most of them with: ESME_RINVSRCADR")


def test_what_an_account_calls_a_fault_of_its_own_stops_it() -> None:
    answers = [0x401] * LEAST_ANSWERS
    for meaning in ("of_account", "session", "unknown"):
        assert observe(account({"0x0401": meaning}), answers).state is State.OPEN
    for own in ({}, {"0x0401": "of_message"}, {"0x0401": "number_for_now"}, {"0x0401": "throttled"}):
        assert observe(account(own), answers).state is State.CLOSED
