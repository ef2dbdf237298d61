"""The report as a browser lays it out: on a phone and on a screen nothing overlaps or sticks out."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from browser import browse, needs_browser
from PIL import Image
from synthetic_run import write_rows, write_run

from nas.report.page import write_report

# Boxes of words in a picture that cover each other, and what is wider than the page.
LOOK = """
<script>
addEventListener("load", function () {
  var overlaps = [], outside = [], small = [];
  document.querySelectorAll("svg").forEach(function (svg) {
    var words = Array.from(svg.querySelectorAll("text")), frame = svg.getBoundingClientRect();
    var boxes = words.map(function (word) { return word.getBoundingClientRect(); });
    boxes.forEach(function (a, i) {
      if (a.left < frame.left - 1 || a.right > frame.right + 1) outside.push(words[i].textContent);
      if (parseFloat(getComputedStyle(words[i]).fontSize) * frame.width / 440 < 9.5) small.push(frame.width);
      boxes.slice(i + 1).forEach(function (b, j) {
        var across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        var down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        var both = words[i].textContent + " / " + words[i + 1 + j].textContent;
        if (across > 1 && down > 4) overlaps.push(both);
      });
    });
  });
  var found = {overlaps: overlaps, outside: outside, small: small, width: innerWidth,
               page: document.documentElement.scrollWidth};
  document.title = "LOOK" + JSON.stringify(found) + "LOOK";
});
</script></body>
"""

pytestmark = needs_browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "flowers"
    rows = write_run(folder, 150)
    longer = [{**row, "purpose": "audit"} for row in rows if row["status"] == "completed"]
    (folder / "audit").mkdir()
    write_rows(folder / "audit" / "trials.parquet", longer[::7])
    return write_report(folder)


@pytest.mark.parametrize("width", [390, 1440])
def test_words_of_the_report_neither_overlap_nor_stick_out_of_the_page(
    report: Path, tmp_path: Path, width: int
) -> None:
    looked = tmp_path / "looked.html"
    looked.write_text(report.read_text().replace("</body>", LOOK))
    dumped = browse(looked, width, tmp_path, "--dump-dom")
    match = re.search("LOOK(.*?)LOOK", dumped)
    assert match is not None
    found = json.loads(unescape(match[1]))
    assert found["overlaps"] == []
    assert found["outside"] == []
    assert found["small"] == []
    assert found["page"] <= found["width"]


@pytest.mark.parametrize(("scheme", "is_dark"), [(0, True), (1, False)])
def test_report_is_light_or_dark_as_the_reader_prefers(
    report: Path, tmp_path: Path, scheme: int, is_dark: bool
) -> None:
    picture = tmp_path / "page.png"
    preference = f"--blink-settings=preferredColorScheme={scheme}"
    browse(report, 390, tmp_path, preference, f"--screenshot={picture}")
    with Image.open(picture) as image:
        corner = image.convert("L").getpixel((2, 2))
    assert isinstance(corner, int)
    assert (corner < 60) is is_dark
    assert (corner > 240) is not is_dark
