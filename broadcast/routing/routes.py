"""A route with its accounts, as the routes file describes it (`examples/routes.toml`)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StrictBool, ValidationInfo, field_validator

from broadcast.routing.fields import LONGEST_SECONDS, Name, Prefix, refuse
from broadcast.routing.smsc_account import Account, Table


class Route(Table):
    """Numbers with one of `prefixes` go through one of `accounts`.

    A prefix is written as E.164 with its plus sign; `+` alone takes every number. `partitions` holds for all topics of
    the route and for life. `delays_seconds` are the steps of a retry, ascending. A route that is not `live`
    is a test route.
    """

    name: Name = Field(description="Name of the route, unique in the file; it is part of the names of its topics.")
    prefixes: Annotated[tuple[Prefix, ...], Field(min_length=1)] = Field(
        description="Beginnings of numbers in E.164 with the plus sign; the longest that fits wins, `+` fits all."
    )
    live: StrictBool = Field(
        default=False,
        description="Whether it carries Actual and Exercise. Else it is a test route: it carries Test, and the others "
        "only if no route is live.",
    )
    partitions: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        default=4, description="Partitions of each topic of this route, fixed when the topics are created."
    )
    delays_seconds: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=1, le=LONGEST_SECONDS)], ...], Field(min_length=1, max_length=10)
    ] = Field(default=(5, 30, 120), description="Pauses before each new attempt after a temporary refusal, ascending.")
    fallback_route: Name | None = Field(
        default=None,
        description="Route that gets the waiting messages while no account of this one works; live as this one is, and "
        "without a fallback_route.",
    )
    fallback_after_seconds: Annotated[float, Field(strict=True, ge=1, le=LONGEST_SECONDS)] = Field(
        default=60.0, description="Time without any working account after which `fallback_route` gets the messages."
    )
    undelivered_route: Name | None = Field(
        default=None,
        description="Route that gets, once and as a whole new copy, the message of a recipient who was reported "
        "undelivered; live as this one is.",
    )
    accounts: Annotated[tuple[Account, ...], Field(min_length=1)] = Field(
        description="Accounts over which the messages of this route are shared."
    )

    @property
    def simulated(self) -> bool:
        """Whether no phone is behind this route; its accounts all say the same."""
        return any(account.simulated for account in self.accounts)

    @field_validator("delays_seconds")
    @classmethod
    def _check_delays(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise refuse("must ascend, each delay once", f"write {sorted(set(value))}")
        return value

    @field_validator("accounts")
    @classmethod
    def _check_accounts(cls, value: tuple[Account, ...], info: ValidationInfo) -> tuple[Account, ...]:
        if not any(account.weight and not account.fallback for account in value):
            raise refuse("has no account that sends", "give one a weight above 0, without fallback")
        longest = max((pause for account in value for pause in account.pause_seconds.values()), default=0)
        if "delays_seconds" in info.data and longest > info.data["delays_seconds"][-1]:
            step = f"add {longest} to delays_seconds"
            raise refuse(f"has pause_seconds of {longest}, longer than all delays_seconds of the route", step)
        return value


def choose_delay(delays: Sequence[int], step: int, least: int = 0) -> int:
    """The delay in seconds of a step, counted from 0.

    After the last delay it stays the last. It is not shorter than `least`, if any delay is so long.
    """
    delay = delays[min(step, len(delays) - 1)]
    return delay if delay >= least else next((each for each in delays if each >= least), delays[-1])
