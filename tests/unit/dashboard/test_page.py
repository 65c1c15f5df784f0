"""The page brings everything it needs, runs under a strict policy, and is small."""

import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from omni_dashboard.adapters.installation import PATHS

from tests.unit.dashboard.ports import House

STATIC = files("omni_dashboard") / "static"
NAMES = sorted({*PATHS.values()})
PAGES = ("index.html", "login.html", "account.html", "people.html")
SCRIPTS = {page: ("app.js", "live.js") if page == "index.html" else ("people.js",) for page in PAGES}
NAMED = sorted({name for names in SCRIPTS.values() for name in names})
pages = pytest.mark.parametrize("name", PAGES)


class Page(HTMLParser):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inline: list[str] = []
        self._in = ""
        self.feed((STATIC / name).read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)


@pages
def test_nothing_is_inline(name: str) -> None:
    page = Page(name)
    assert page.inline == []
    for tag, attributes in page.tags:
        assert tag != "style"
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)


def test_nothing_comes_from_elsewhere() -> None:
    for name in NAMES:
        text = (STATIC / name).read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(]//|@import|url\(", text), name
    for page in PAGES:
        for _, attributes in Page(page).tags:
            for link in ("src", "href"):
                found = attributes.get(link, "#")
                assert found in PATHS or found.startswith(("#", "/static/"))


def test_nothing_is_set_as_html_or_run_from_text() -> None:
    script = "".join((STATIC / name).read_text("utf-8") for name in NAMED)
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage|\.style\b"
    assert not re.search(forbidden, script)
    assert "sessionStorage" in script


def test_it_is_small() -> None:
    sizes = {name: len((STATIC / name).read_bytes()) for name in NAMES}
    for page, scripts in SCRIPTS.items():
        shared = sizes["app.css"] + sizes["icon.svg"]
        assert sizes[page] + sum(map(sizes.__getitem__, scripts)) + shared < 60_000, page


@pages
def test_it_can_be_used_without_eyes_or_mouse(name: str) -> None:
    page = Page(name)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    by_tag = dict(page.tags)
    assert by_tag["html"]["lang"] == "en"
    assert "title" in by_tag
    assert "main" in by_tag
    labelled = {attributes["for"] for tag, attributes in page.tags if tag == "label" and "for" in attributes}
    for tag, attributes in page.tags:
        if tag == "select" or (tag == "input" and attributes["type"] != "radio"):
            assert attributes["id"] in labelled
        if tag == "img":
            assert "alt" in attributes
        if tag == "section":
            assert attributes["aria-labelledby"] in ids
        if tag == "button":
            assert attributes["type"] in ("button", "submit")


def test_every_element_a_script_names_is_on_one_of_its_pages() -> None:
    for scripts in {*SCRIPTS.values()}:
        of = [page for page, run in SCRIPTS.items() if run == scripts]
        _names_what_is_there(scripts, {attributes.get("id") for page in of for _, attributes in Page(page).tags})


def _names_what_is_there(scripts: tuple[str, ...], ids: set[str | None]) -> None:
    script = "".join((STATIC / name).read_text("utf-8") for name in scripts)
    used = set(re.findall(r"(?:\$|draw|fill)\(\"([a-z-]+)\"", script))
    assert used
    assert used <= ids


def test_colours_can_be_read_in_light_and_dark() -> None:
    """WCAG 2.2 AA: text has a contrast of 4.5 at least on the grounds it is used on."""
    css = (STATIC / "app.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    for text in (light, dark):
        colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6})\b", text))
        pairs = [(ink, ground) for ink in ("ink", "soft", "good", "warn", "bad") for ground in ("card", "ground")]
        for ink, ground in [*pairs, ("ink", "code"), ("on-brand", "brand")]:
            assert contrast(colour[ink], colour[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    first, second = sorted((luminance(one), luminance(other)))
    return (second + 0.05) / (first + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("path", PATHS)
async def test_files_are_served_with_a_strict_policy_and_revalidated(house: House, path: str) -> None:
    answer = await house.call("GET", path)
    assert answer.status_code == 200
    assert answer.content == (STATIC / PATHS[path]).read_bytes()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = await house.call("GET", path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await house.call("HEAD", path)).status_code == 200


async def test_no_answer_of_the_api_is_kept_by_a_cache(house: House) -> None:
    assert (await house.call("GET", "/api/about")).headers["cache-control"] == "no-store"
