"""Site in a headless browser, read from files: links, search, gallery, light and dark, narrow screens, no requests."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from source_files import ROOT

from deeprnn_keras import zoo

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("sphinx")
pytest.importorskip("jupytext")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-sync")
PAGES = (
    "index",
    "gallery",
    "zoo/kjv_lstm_2x256",
    "api/index",
    "api/deeprnn_keras.DeepRNN",
    "tutorials/01_deep_rnn_in_keras",
    "benchmarks/cells",
    "layers",
    "export",
    "slow",
)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="none of " + ", ".join(BROWSERS) + " is installed"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site strictly; `SITE` names one that is built already."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"]).resolve()
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "docs.builder", str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return directory / "html"


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(site, browser):
    """Open windows on pages; an error in the console or a request to a host fails the test."""
    problems, windows = [], []

    def go(name, **options):
        window = browser.new_page(**{"viewport": DESK, **options})
        windows.append(window)
        window.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
        window.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
        window.on("requestfailed", lambda request: problems.append(f"{name}: failed: {request.url}"))
        window.on("request", lambda request: is_local(request.url) or problems.append(f"{name}: {request.url}"))
        window.goto(f"{site.as_uri()}/{name}")
        return window

    yield go
    for window in windows:
        window.close()
    assert not problems


def is_local(address):
    return address.startswith(("file:", "data:", "blob:"))


def save_screenshot(window, name):
    if "SITE_SCREENSHOTS" in os.environ:
        window.screenshot(path=Path(os.environ["SITE_SCREENSHOTS"]) / f"{name.replace('/', '_')}.png")


class Links(HTMLParser):
    """Addresses and identifiers of a page."""

    def __init__(self, path):
        super().__init__()
        self.addresses, self.loaded, self.identifiers = [], [], {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.identifiers.add(values.get("id") or "")
        self.addresses += [values["href"]] if tag == "a" and values.get("href") else []
        self.loaded += [values[key] for key in ("src", "href") if tag in ("img", "script", "link") and values.get(key)]


@pytest.fixture(scope="module")
def pages(site):
    return {path: Links(path) for path in site.rglob("*.html")}


def test_every_internal_link_leads_somewhere(site, pages):
    assert len(pages) > 250
    broken, count = [], 0
    for path, links in pages.items():
        for address in [*links.addresses, *links.loaded]:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            count += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            found = target in pages if target.suffix == ".html" else target.is_file()
            if not found or (target in pages and unquote(parts.fragment) not in pages[target].identifiers):
                broken.append(f"{path.relative_to(site)}: {address}")
    assert not broken, "\n".join(broken[:50])
    assert count > 10_000


def test_nothing_is_loaded_from_another_host(site, pages):
    for path, links in pages.items():
        assert not [address for address in links.loaded if re.match(r"(https?:)?//", address)], path
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", text), path


@pytest.mark.parametrize("name", PAGES)
def test_page_is_readable_on_every_screen(open_page, name):
    backgrounds = set()
    for scheme in ("light", "dark"):
        for kind, viewport in (("desk", DESK), ("phone", PHONE)):
            window = open_page(f"{name}.html", viewport=viewport, color_scheme=scheme)
            assert window.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            assert window.locator("h1").first.is_visible()
            save_screenshot(window, f"{name}-{scheme}-{kind}")
        backgrounds.add(window.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == 2


def test_button_switches_to_dark(open_page):
    window = open_page("layers.html", color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    before = window.evaluate(background)
    for _ in range(3):  # automatic, light, dark
        window.locator("button.theme-toggle:visible").first.click()
        if window.evaluate(background) != before:
            break
    assert window.get_attribute("body", "data-theme") == "dark" and window.evaluate(background) != before


def test_search_finds_pages_and_names(open_page):
    for query, expected in (
        ("zoneout", "DeepRNN"),
        ("gradient_health", "gradient_health"),
        ("guitar", "I have a guitar"),
    ):
        window = open_page("index.html")
        window.fill("input.sidebar-search", query)
        window.press("input.sidebar-search", "Enter")
        window.wait_for_selector("#search-results ul.search li a")
        window.wait_for_function("/finished|found/i.test(document.getElementById('search-results').innerText)")
        assert expected in "\n".join(window.locator("#search-results li a").all_inner_texts()), query
        save_screenshot(window, f"search-{query}")


def shown(window):
    return set(window.locator("#zoo-cards .zoo-card .name").all_inner_texts())


def test_filters_of_the_gallery(open_page):
    window = open_page("gallery.html")
    configs = {name: zoo.info(name) for name in zoo.list_models()}
    assert shown(window) == set(configs)

    window.select_option("[name=task]", "music")
    assert shown(window) == set(zoo.list_models(task="music"))
    window.check("[name=trained]")
    assert shown(window) == set(zoo.list_models(task="music", pretrained=True)) != set()
    assert window.inner_text("#zoo-count") == f"{len(shown(window))} of {len(configs)} models"
    window.select_option("[name=task]", "")
    assert shown(window) == set(zoo.list_models(pretrained=True))
    save_screenshot(window, "gallery-trained")
    window.uncheck("[name=trained]")
    window.select_option("[name=cell]", "gru")
    assert shown(window) == {name for name, config in configs.items() if "gru" in config.cell_name().split("-")}
    window.select_option("[name=cell]", "")
    window.select_option("[name=size]", "1 to 10 million")
    assert shown(window) == {name for name, config in configs.items() if 10**6 <= config.count_params() < 10**7}
    window.select_option("[name=size]", "")
    window.fill("[name=query]", "zaremba LARGE")
    assert shown(window) == {"zaremba_large"}
    window.fill("[name=query]", "no such model")
    assert shown(window) == set()
    window.fill("[name=query]", "")
    window.select_option("[name=order]", "params")
    names = window.locator("#zoo-cards .zoo-card .name").all_inner_texts()
    assert names == sorted(configs, key=lambda name: configs[name].count_params())
    window.locator("#zoo-cards .zoo-card").first.click()
    assert window.inner_text("h1").startswith(names[0])
