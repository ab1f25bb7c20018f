"""The pages behind a login, against a provider on this machine: who comes in, who does not, and no way around it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import websockets.sync.client
from playwright.sync_api import Browser, Page, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.conftest import PATIENCE_MS
from tests.support import addresses
from tests.support.identity import EVE, Provider, provider
from tests.support.plausible import PlausibleRun
from verl_spo_dashboard import auth
from verl_spo_dashboard.server import Server, serve

pytestmark = pytest.mark.browser

RUN = "secret/run"

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def identity() -> Iterator[Provider]:
    with provider() as served:
        yield served


@pytest.fixture
def file(identity: Provider, tmp_path: Path) -> Path:
    return identity.write_auth(tmp_path / "auth.toml", 'allowed = ["example.org"]')


@pytest.fixture
def guarded(url: str, file: Path) -> Iterator[Server]:
    PlausibleRun(url, name=RUN).train(2).close()
    with serve(url, port=0, rules=auth.read(file)) as server:
        yield server


@pytest.fixture
def tab(chromium: Browser, guarded: Server) -> Iterator[Page]:
    context = chromium.new_context(base_url=guarded.address)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def log_in(tab: Page) -> None:
    tab.goto("/")
    tab.get_by_role("button", name="Log in").click()


def test_a_link_is_followed_after_the_login(tab: Page) -> None:
    tab.goto(f"/prompts?run={RUN}&sort=Easiest+first")
    tab.get_by_role("button", name="Log in").click()
    expect(tab).to_have_url(re.compile(r"/prompts\?run=secret(/|%2F)run&sort=Easiest(\+|%20)first"))
    expect(tab.get_by_test_id("stDataFrame")).to_be_visible()
    # Once: the way back to the list is open.
    tab.goto("/")
    expect(tab.get_by_role("heading", name="Runs")).to_be_visible()


def downloaded(tab: Page) -> str:
    """The address of a file that a page offers, once it was asked for."""
    tab.goto(f"/training?run={RUN}")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download CSV").click()
    return download.value.url


def status(address: str) -> int:
    try:
        with urlopen(address) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code


def test_who_may_read_logs_in_reads_and_logs_out(tab: Page, identity: Provider) -> None:
    log_in(tab)
    expect(tab.get_by_test_id("stDataFrame")).to_be_visible()
    expect(tab.get_by_text("ada@example.org")).to_be_visible()
    tab.goto(f"/training?run={RUN}")
    expect(tab.locator("svg.marks").first).to_be_visible()
    # The pages are closed at once; the browser asks the provider to end its session after that.
    with tab.expect_response(re.compile(rf"{identity.address}/end\b")):
        tab.get_by_role("button", name="Log out").click()
    expect(tab.get_by_role("button", name="Log in")).to_be_visible()
    assert identity.ended == 1
    tab.goto(f"/training?run={RUN}")
    expect(tab.get_by_role("button", name="Log in")).to_be_visible()
    expect(tab.locator("svg.marks")).to_have_count(0)


def test_who_may_not_read_is_refused_and_can_come_as_somebody_else(tab: Page, identity: Provider) -> None:
    identity.user = dict(EVE)
    log_in(tab)
    expect(tab.get_by_text("may not read these pages")).to_be_visible()
    expect(tab.get_by_text("eve@example.com")).to_be_visible()
    tab.goto(f"/training?run={RUN}")
    expect(tab.get_by_text("may not read these pages")).to_be_visible()
    assert RUN not in tab.content()
    identity.user = {**EVE, "email": "ada@example.org"}
    tab.get_by_role("button", name="Log out").click()
    tab.get_by_role("button", name="Log in").click()
    expect(tab).to_have_url(re.compile("/training"))
    expect(tab.locator("svg.marks").first).to_be_visible()


def test_what_a_provider_says_stays_text(tab: Page, identity: Provider) -> None:
    identity.user = {**EVE, "email": "<img src=x onerror=alert(1)> **x** @example.org"}
    log_in(tab)
    expect(tab.get_by_text("<img src=x onerror=alert(1)> **x**")).to_be_visible()
    expect(tab.locator("img[src=x]")).to_have_count(0)


@pytest.mark.parametrize("path", addresses.paths())
def test_no_address_leads_around_it(tab: Page, path: str) -> None:
    tab.goto(f"/{path}?run={RUN}")
    expect(tab.get_by_role("button", name="Log in")).to_be_visible()
    expect(tab.get_by_test_id("stPageLink")).to_have_count(0)
    assert RUN not in tab.locator("body").inner_text()


def test_a_file_is_for_readers_alone(tab: Page, identity: Provider) -> None:
    log_in(tab)
    expect(tab.get_by_test_id("stDataFrame")).to_be_visible()
    address = downloaded(tab)
    assert tab.request.get(address).status == 200
    assert status(address) == 401


@pytest.mark.parametrize("path", ["_stcore/metrics", "media/x.csv", "_stcore/upload_file/a/b", "component/x/y.js"])
def test_what_is_beside_the_pages_is_for_readers_too(guarded: Server, path: str) -> None:
    assert status(f"{guarded.address}/{path}") == 401
    assert status(f"{guarded.address}/_stcore/health") == 200


def test_a_forged_cookie_opens_nothing(guarded: Server) -> None:
    claims = {"is_logged_in": True, "email": "ada@example.org", "email_verified": True, "origin": guarded.address}
    request = Request(f"{guarded.address}/_stcore/metrics", headers={"Cookie": f"_streamlit_user={json.dumps(claims)}"})
    with pytest.raises(HTTPError, match="401"):
        urlopen(request)


@pytest.mark.parametrize("path", addresses.paths())
def test_a_stream_without_a_login_hears_nothing_of_a_run(guarded: Server, path: str) -> None:
    heard = b""
    stream = guarded.address.replace("http", "ws") + "/_stcore/stream"
    with websockets.sync.client.connect(stream, subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
        ask = BackMsg()
        ask.rerun_script.query_string = f"run={RUN}"
        ask.rerun_script.page_name = path
        socket.send(ask.SerializeToString())
        message = ForwardMsg()
        while message.WhichOneof("type") != "script_finished":
            received = socket.recv(timeout=60)
            assert isinstance(received, bytes)
            heard += received
            message = ForwardMsg.FromString(received)
    assert b"Log in" in heard
    assert RUN.encode() not in heard.replace(f"run={RUN}".encode(), b"")


def test_secrets_are_told_to_nobody(
    chromium: Browser, url: str, file: Path, identity: Provider, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(url, port=0, rules=auth.read(file)) as server:
        shown = Path(f"/proc/{server.process.pid}/cmdline").read_text()
        context = chromium.new_context(base_url=server.address)
        context.set_default_timeout(PATIENCE_MS)
        tab = context.new_page()
        log_in(tab)
        expect(tab.get_by_role("button", name="Log out")).to_be_visible()
        shown += tab.content()
        tab.get_by_role("button", name="Log out").click()
        expect(tab.get_by_role("button", name="Log in")).to_be_visible()
        tab.goto("/oauth2callback?code=wrong&state=wrong")
        expect(tab.get_by_role("button", name="Log in")).to_be_visible()
        context.close()
    shown += "".join(capfd.readouterr())
    texts = re.findall(r'secret = "(.*)"', file.read_text()) + identity.given
    assert len(texts) == 5
    assert [text for text in texts if text in shown] == []
