"""Where a login leads: to pages of this server, once."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from verl_spo_dashboard.wanted import COOKIE, WantedPages


@pytest.fixture
def client() -> TestClient:
    """A reader of a server below /base; `READER` is the cookie of a login."""
    app = Starlette(routes=[Route("/{path:path}", lambda request: PlainTextResponse(request.url.path))])
    guarded = WantedPages(app, lambda cookies: "READER" in cookies, base="/base")
    return TestClient(guarded, base_url="http://testserver/base", follow_redirects=False)


def test_too_much_to_remember_is_not_remembered(client: TestClient) -> None:
    client.get("/prompts?q=" + "%25" * 1000)
    assert not any(name.startswith(COOKIE) for name in client.cookies)


def test_a_server_below_another_path_is_another_one(client: TestClient) -> None:
    client.get("/prompts?run=a")
    (cookie,) = client.cookies.jar
    assert (cookie.name, cookie.path) == (f"{COOKIE}_80", "/base/")


def test_what_was_asked_for_opens_after_the_login(client: TestClient) -> None:
    assert client.get("/prompts?run=a%2Fb&q=x+y").text == "/base/prompts"
    client.cookies.set("READER", "yes")
    answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/base/prompts?run=a%2Fb&q=x+y")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/oauth2callback?code=1", "/auth/login?provider=x", "/_stcore/health", "/media/1"]
)
def test_what_is_no_page_is_not_remembered(client: TestClient, path: str) -> None:
    client.get(path)
    assert not any(name.startswith(COOKIE) for name in client.cookies)


@pytest.mark.parametrize(
    "wanted", ["%2F%2Fevil.example", "https%3A%2F%2Fevil.example", "%2F%5Cevil.example", "", "%0d%0a", "%2F"]
)
def test_nobody_is_led_elsewhere(client: TestClient, wanted: str) -> None:
    client.cookies.update({"READER": "yes", f"{COOKIE}_80": wanted})
    assert client.get("/").status_code == 200
