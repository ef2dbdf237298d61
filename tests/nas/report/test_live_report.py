"""The live report: what changes it, who may read it, and that a page which is open follows it."""

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import browse_address, needs_browser
from synthetic_run import write_rows, write_run

from nas.cli import main
from nas.report.live import LiveReport, LiveState
from nas.report.live_server import LiveServer
from nas.report.markup import Markup
from search_spaces.settings.config_error import ConfigError
from trials.log.parts import PARTS

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "flowers"
    write_run(folder, 40)
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    return folder


def report_of(run: Path) -> LiveReport:
    """A live report that is written in no time."""
    return LiveReport(run, lambda folder: f"state of {folder.name}", clock=lambda: 0.0)


@contextmanager
def serving(report: LiveReport) -> Iterator[LiveServer]:
    server = LiveServer(report)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def answer(url: str, **request: str) -> tuple[int, dict[str, str], str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **request), timeout=60) as found:  # type: ignore[arg-type]
            return found.status, dict(found.headers), found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def test_a_file_that_comes_into_the_log_makes_another_version_and_a_look_does_not(run: Path) -> None:
    report = report_of(run)
    before = report.state()
    report.sections()
    assert report.state() == before
    (run / PARTS / "p00000001.parquet").touch()
    os.utime(run / PARTS, ns=(0, 1))  # clocks of file systems may be coarse
    assert report.state().version != before.version


def test_writing_takes_a_tenth_of_the_time_at_most(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def written(folder: Path) -> Markup:
        now[0] += 2  # seconds
        return Markup(f"written at {now[0]:g}")

    monkeypatch.setattr("nas.report.live._sections", written)
    report = LiveReport(run, lambda folder: "", clock=lambda: now[0])
    report.sections()
    before = report.state()
    (run / PARTS / "p00000001.parquet").touch()
    os.utime(run / PARTS, ns=(0, 1))
    now[0] = 19.9
    assert report.state().version == before.version
    assert report.sections() == "written at 2"
    now[0] = 20.1
    assert report.state().version != before.version
    assert report.sections() == "written at 22.1"


def test_a_fault_of_the_report_is_shown_in_the_page_and_ends_nothing(run: Path) -> None:
    class Broken(LiveReport):
        def sections(self) -> Markup:
            raise ZeroDivisionError("of the report")

    with serving(Broken(run, lambda folder: "")) as server:
        assert answer(f"{server.url}sections")[::2] == (500, "ZeroDivisionError: of the report")
        assert answer(f"{server.url}state")[0] == 200


def test_a_store_that_does_not_answer_is_said_in_the_place_of_the_state(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    report = LiveReport(run, lambda folder: "", clock=lambda: now[0])
    monkeypatch.setattr(report, "_in_store", True)
    now[0] = 60.0  # it is asked again

    def unanswered(place: object) -> Path:
        raise ConfigError("s3://bucket/flowers: no answer")

    monkeypatch.setattr("nas.report.live.run_folder", unanswered)
    assert report.state().text == "s3://bucket/flowers: no answer"


def test_sections_are_written_again_when_the_version_is_another(run: Path) -> None:
    report = report_of(run)
    before = report.sections()
    assert report.sections() is before
    rows = write_run(run.parent / "longer", 50)
    write_rows(run / "trials.parquet", rows)
    os.utime(run, ns=(0, 1))
    assert f">{len(rows)}: " not in before
    assert f">{len(rows)}: " in report.sections()


def test_a_run_without_a_trial_has_a_sentence_in_the_place_of_sections(run: Path) -> None:
    (run / "trials.parquet").unlink()
    assert "trial" in report_of(run).sections()
    assert "<h2>" not in report_of(run).sections()


def test_what_cannot_be_read_is_said_in_the_place_of_the_state(run: Path) -> None:
    def damaged(folder: Path) -> str:
        raise ConfigError(f"{folder.name}: damaged")

    assert LiveReport(run, damaged).state().text == "flowers: damaged"


def test_only_the_address_with_the_token_is_answered(run: Path) -> None:
    with serving(report_of(run)) as server:
        assert server.url.startswith("http://127.0.0.1:")
        root = f"http://127.0.0.1:{server.port}"
        for wrong in ("/", "/state", "/x/state", "/../../etc/passwd", f"{server.url[len(root) : -1]}x/state"):
            assert answer(root + wrong)[0] == 404, wrong
        for name in ("other", "../state", "state/", "search.yaml"):
            assert answer(server.url + name)[0] == 404, name
        assert answer(server.url.rstrip("/"))[0] == 404
        status, headers, text = answer(server.url)
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "connect-src 'self'" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_changed_through_the_page(run: Path, method: str) -> None:
    with serving(report_of(run)) as server:
        assert answer(f"{server.url}state", method=method)[0] == 501


def test_each_server_has_a_token_of_its_own(run: Path) -> None:
    with LiveServer(report_of(run)) as one, LiveServer(report_of(run)) as other:
        assert one.url.split("/")[3] != other.url.split("/")[3]


def test_state_is_text_and_names_in_it_cannot_act(run: Path) -> None:
    report = LiveReport(run, lambda folder: EVIL)
    with serving(report) as server:
        assert json.loads(answer(f"{server.url}state")[2])["text"].startswith(EVIL)
        assert EVIL not in answer(server.url)[2]


def test_a_port_that_is_taken_is_refused(run: Path) -> None:
    with (
        LiveServer(report_of(run)) as server,
        pytest.raises(ConfigError, match=f"--port {server.port}: cannot"),
    ):
        LiveServer(report_of(run), port=server.port)


def test_the_command_refuses_what_is_no_run_before_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["nas", "watch", str(tmp_path / "nothing"), "--web"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert "127.0.0.1" not in printed.out
    assert "nothing" in printed.err


def test_a_port_without_a_page_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["nas", "watch", str(run), "--port", "8000"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--web" in capsys.readouterr().err


class Changing(LiveReport):
    """A report of which there is more with each look; the page moves a slider once, as a reader would."""

    looks = 0

    def state(self) -> LiveState:
        self.looks += 1
        return LiveState(str(self.looks // 3), f"look {self.looks}")

    def sections(self) -> Markup:
        return Markup(f"{super().sections()}<p>version {self.looks // 3}</p>")

    def document(self) -> str:
        move = (
            "<script>var moving = setInterval(function () {"
            "var input = document.querySelector('input[data-name=params]'); if (!input) return;"
            "input.value = -0.3; input.dispatchEvent(new Event('input')); clearInterval(moving); }, 50);"
            "</script></body>"
        )
        return super().document().replace("</body>", move)


@needs_browser
def test_an_open_page_follows_the_run_and_keeps_what_its_reader_has_set(run: Path, tmp_path: Path) -> None:
    with serving(Changing(run, lambda folder: "")) as server:
        shown = browse_address(server.url, 1280, tmp_path, "--virtual-time-budget=9000", "--dump-dom")
    assert "<p>version 0</p>" not in shown
    assert "<p>version " in shown
    assert "exponent of parameters <output>\N{MINUS SIGN}0.3</output>" in shown
    assert "No answer" not in shown.split("gone")[0]
