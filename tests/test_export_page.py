"""Web page of the tutorial on export in a headless browser: its numbers and texts are those of Keras."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from source_files import ROOT

from deeprnn_keras import generate

sync_api = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-sync")
TUTORIAL = ROOT / "tutorials" / "10_export.py"
NAMES = {" ": "space", "\n": "line"}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed"),
    pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="none of " + ", ".join(BROWSERS) + " is installed"),
]


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """Run the tutorial with a small model, then its command that fetches onnxruntime-web; return its names."""
    directory = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUTORIAL_SCALE", os.environ.get("TUTORIAL_SCALE", "0.01"))
        patch.chdir(directory)
        names = runpy.run_path(str(TUTORIAL), run_name="__main__")
        plt.close("all")
    command = re.search(r"# (npm install .*)", TUTORIAL.read_text(encoding="utf-8"))[1]
    subprocess.run(shlex.split(command), cwd=directory / "export", check=True, capture_output=True)
    return {**names, "directory": directory / "export"}


@pytest.fixture(scope="module")
def address(tutorial):
    """Serve the directory of the page as the tutorial does, at a free port."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=tutorial["directory"], **pipes) as server:
        port = re.search(r"port (\d+)", server.stdout.readline())[1]
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture
def page(address):
    """Open a browser window; errors in its console fail the test."""
    path = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(base_url=address, viewport={"width": 1100, "height": 640})
        yield page
        browser.close()


def wait(page, state="ready"):
    page.wait_for_selector(f"body[data-state={state}]", timeout=60_000)


def expected_rows(tutorial, text):
    """Return the rows of the list of next characters, computed by Keras."""
    ids = tutorial["corpus"].vocabulary.encode(text)
    logits = np.asarray(tutorial["model"](ids[None]), np.float64)[0, -1]
    probabilities = np.exp(logits) / np.exp(logits).sum()
    symbols = tutorial["symbols"]
    return {NAMES.get(symbols[one], symbols[one]): 100 * probabilities[one] for one in np.argsort(-logits)[:10]}


def assert_next(page, expected):
    rows = [row.split("\n") for row in page.locator("#next li").all_inner_texts()]
    actual = {name: float(percent.removesuffix("%")) for name, *_, percent in rows}
    assert actual == pytest.approx(expected, abs=0.0051)


def test_page_equals_keras(page, tutorial, tmp_path):
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto("/")
    wait(page)
    assert page.text_content("#text") == tutorial["PROMPT"] + tutorial["text"]
    assert page.inner_text("#same") == "yes" and page.inner_text("#characters") == str(tutorial["LENGTH"])
    assert float(page.inner_text("#difference")) < 2e-5 and float(page.inner_text("#speed")) > 0
    assert_next(page, expected_rows(tutorial, tutorial["PROMPT"] + tutorial["text"]))
    page.screenshot(path=os.environ.get("PAGE_SCREENSHOT", tmp_path / "page.png"))
    assert not errors


def test_written_text_is_that_of_generate(page, tutorial):
    page.goto("/")
    wait(page)
    page.fill("#prompt", "And God said")
    wait(page)
    assert_next(page, expected_rows(tutorial, "And God said"))
    for seed in (0, 2**53 - 1):
        page.fill("#seed", str(seed))
        page.click("#write")
        wait(page)
        expected = generate(tutorial["model"], "And God said", 400, temperature=tutorial["TEMPERATURE"], seed=seed)
        assert page.text_content("#text") == expected


def test_unknown_characters_are_omitted(page):
    page.goto("/")
    wait(page)
    page.fill("#prompt", "A ß 1")
    wait(page)
    assert page.inner_text("#status") == "Not in the vocabulary, omitted: ß 1"
    assert page.text_content("#text").strip() == "A"


def test_missing_runtime_is_reported(page):
    page.route("**/node_modules/**", lambda route: route.abort())
    page.goto("/")
    wait(page, "failed")
    assert "onnxruntime-web is missing; install it with npm" in page.inner_text("#status")
