"""The explorer's page in a browser: `python -m pytest -m browser`.

It is not run with the other tests. It needs marimo and playwright, `pip install
'.[explore]' --group browser`, and a Chromium that is installed.
"""

import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
MISSING = [n for n in ("marimo", "playwright") if importlib.util.find_spec(n) is None]
PATIENCE = 300  # seconds, on a machine that has other work
PICTURE = "img[alt^='predictions of the transformer']"
TABS = {
    "Function": "predictions while one coordinate",
    "Layers": "what each layer would predict",
    "Attention": "what each token looks at",
    "Probes": "R2 of probes",
    "Edit": "predictions after an edit",
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}"),
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium"),
]


@pytest.fixture(scope="module")
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "experiments.explorer", "--no-browser"]
    server = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server)
        yield address
    finally:
        server.terminate()  # the command ends marimo with itself
        server.wait(30)


def _wait_for(address, server):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.poll() is None, "the server has ended"
        try:
            urlopen(address, timeout=5).close()
            return
        except (URLError, TimeoutError):
            time.sleep(0.5)
    pytest.fail("the page did not answer")


@pytest.fixture(scope="module")
def page(address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        page.errors, page.requests = [], []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda said: _note(page, said))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(address)
        page.wait_for_selector(PICTURE)
        yield page
        browser.close()


def _note(page, said):
    if said.type == "error":
        page.errors.append(said.text)


def test_a_slider_changes_the_picture(page):
    before = page.locator(PICTURE).get_attribute("src")
    slider = page.locator("marimo-slider", has_text="move y by").get_by_role("slider")
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    page.wait_for_function(
        "([picture, src]) => document.querySelector(picture)?.src != src",
        arg=[PICTURE, page.evaluate("src => new URL(src, location).href", before)],
    )


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_has_its_picture(page, tab):
    page.get_by_role("tab", name=tab, exact=True).click()
    picture = page.locator(f"img[alt^='{TABS[tab]}'] >> visible=true").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 500


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.wait_for_timeout(500)
    picture = page.locator(PICTURE).bounding_box()
    assert picture["x"] >= 0
    assert picture["x"] + picture["width"] <= width


def test_no_error_and_nothing_from_elsewhere(page):
    assert page.errors == []
    own = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    assert [url for url in page.requests if not url.startswith(own)] == []
