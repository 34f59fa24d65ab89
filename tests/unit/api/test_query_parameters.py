"""A query parameter that a route does not know is refused: passed over, it would send an alert to fewer people."""

from types import SimpleNamespace
from typing import cast
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcast.api.app import make_app
from broadcast.api.routes.query_parameters import check_query
from broadcast.api.services import Services
from broadcast.errors import InputError
from broadcast.health import Health
from broadcast.settings import Settings

KNOWN = {"groups": True, "by_area": False}


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_a_query_is_taken_exactly_if_all_its_names_are_known(parameters: dict[str, str]) -> None:
    query = urlencode(parameters, encoding="utf-8", errors="replace").encode()
    taken = {name.encode(errors="replace").decode() for name in parameters} <= set(KNOWN)
    if taken:
        check_query(query, KNOWN)
    else:
        with pytest.raises(InputError):
            check_query(query, KNOWN)


def test_a_known_name_is_taken_in_any_spelling_and_once_unless_it_is_a_list() -> None:
    check_query(b"groups=S%C3%BCd&groups=Nord&%67roups=a+b&by_area=true&", KNOWN)
    with pytest.raises(InputError, match="'by_area' is given twice"):
        check_query(b"by_area=true&by_area=false", KNOWN)


KEYRING = SimpleNamespace(knows=lambda _: True, loaded=True, owner_of=lambda _: "anna")
APP = make_app(cast("Services", SimpleNamespace(keyring=KEYRING, settings=Settings(), health=Health("api"))))
ROUTES = [
    (method, path, sorted(each["name"] for each in facts.get("parameters", ()) if each["in"] == "query"))
    for path, methods in APP.openapi()["paths"].items()
    for method, facts in methods.items()
    if path.startswith("/v1/")
]


def test_the_routes_are_found() -> None:
    assert ("post", "/v1/alerts", ["by_area", "groups"]) in ROUTES


@pytest.mark.parametrize(("method", "path", "known"), ROUTES)
async def test_each_route_refuses_what_it_does_not_know_and_names_what_it_knows(
    method: str, path: str, known: list[str]
) -> None:
    path = path.format(alert_id=UUID(int=1), recipient_id=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://api") as http:
        for query, said in (
            ("group=Nord", f"known are {', '.join(known)}" if known else "this route has none"),
            ("groups=S%FCd", "'groups' is not UTF-8"),
        ):
            headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
            refused = await http.request(method, f"{path}?{query}", headers=headers, content=b"{}")
            assert refused.status_code == 422
            assert said in refused.json()["detail"]
            assert refused.json()["findings"][0]["rule"] == "query"
