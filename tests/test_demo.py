"""The demo page: the HTML that it shows, and the page itself in a browser."""

import importlib.util
import pathlib
import re
import shutil
import signal
import socket
import sys
import types
import urllib.parse

import numpy as np
import pytest
from absl import flags

from cgar_jax import model_loading, runs
from cgar_jax.commands import demo
from cgar_jax.data import maze, rules_of, sudoku
from cgar_jax.demo import drawing, page, search_drawing
from cgar_jax.demo.demonstration import (
    ModeResult,
    Outcome,
    RolloutDemonstration,
    SearchOutcome,
    SearchResult,
    prepare,
)
from cgar_jax.evaluation import SearchEvent, SearchTrajectory, Solution
from cgar_jax.recursion import Trajectory
from configs import sudoku_mini
from tests import running as commands
from tests import untrained

PUZZLE = "1.3.34122.4.4321"
IN_LINES = "1 . | 3 .\n3 4 | 1 2\n----+----\n2 . | 4 .\n4 3 | 2 1"
RIGHT = "1234341221434321"
WRONG = "1134341221434321"  # has 1 twice in row 1, in column 2 and in box 1
LOOK = drawing.look_of("sudoku", 16)
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of an untrained model for 4x4 Sudokus."""
    folder = tmp_path_factory.mktemp("demo") / "model"
    config = sudoku_mini.get_config()
    config.data.size, config.data.num_clues, config.batch_size = 4, 6, 8
    config.model.num_layers, config.model.hidden_size = 1, 16
    config.curriculum.stages = ((1, 1), (1, 1), (2, 2))
    config.supervision.max_supervision_steps = 3
    config.weighting = ()
    return untrained.save(folder, config)


@pytest.fixture(scope="module")
def demonstration(folder):
    """The model behind the page."""
    return prepare(model_loading.load(folder), num_rollouts=2, noise=0.3)


def outcome_of(*answers, rollout=None, remark=""):
    """An outcome whose plain rollout has these answers after its supervision steps."""
    question, rollout = sudoku.encode(PUZZLE), rollout or answers[-1]
    tokens = np.stack([sudoku.encode(answer) for answer in answers])
    halves = np.full(tokens.shape, 0.5)
    trajectory = Trajectory(question, tokens, halves, halves[:, 0], num_cycles=1)
    modes = {"plain": (1, answers[-1]), "halting": (1, answers[0]), "rollouts": (8, rollout)}
    results = {}
    for mode, (num_rollouts, answer) in modes.items():
        solution = Solution(sudoku.encode(answer), answer == RIGHT, len(answers), 0.25)
        results[mode] = ModeResult(num_rollouts, solution, 12.3)
    return Outcome(trajectory, remark, results)


def test_the_verdict_names_the_first_supervision_step_with_a_right_answer():
    shown = drawing.draw_verdict(outcome_of(RIGHT), LOOK)
    assert "verified <small>after 1 supervision step<" in shown
    shown = drawing.draw_verdict(outcome_of(WRONG, RIGHT, WRONG), LOOK)
    assert "verified <small>after 2 supervision steps<" in shown


def test_the_verdict_names_the_rule_that_the_best_answer_breaks():
    outcome = outcome_of(RIGHT, WRONG)._replace(trajectory=outcome_of(WRONG).trajectory)
    shown = drawing.draw_verdict(outcome, LOOK)
    assert "not solved" in shown
    assert "verified" not in shown
    assert "it has 1134 in row 1; expected every digit 1..4 once." in shown


def test_an_answer_that_only_a_rollout_found_counts_and_is_shown():
    outcome = outcome_of(WRONG, WRONG, rollout=RIGHT)
    assert "A rollout with noise found the answer" in drawing.draw_verdict(outcome, LOOK)
    shown = drawing.draw_outcome(outcome, LOOK)
    assert shown.count("<figure") == 3
    assert shown.count("--sure") == 2 * 16 + 2  # cells of the plain rollout, and the legend


def test_texts_are_escaped():
    assert "<b>" not in drawing.draw_error("<b>'\"&")
    assert "<b>" not in drawing.draw_verdict(outcome_of(RIGHT, remark="<b>"), LOOK)


def test_a_frame_marks_clues_confidence_and_cells_that_break_a_rule():
    question, answer = sudoku.encode(PUZZLE), sudoku.encode(WRONG)
    shown = drawing.draw_frame(question, answer, np.linspace(0, 1, 16), "step <1>", LOOK)
    cells = re.findall(r'<i class="(.*?)" style="--sure:(.*?)%">(.)</i>', shown)
    assert "".join(symbol for _, _, symbol in cells) == WRONG
    assert [int(sure) for _, sure, _ in cells] == np.linspace(0, 100, 16).round().tolist()
    assert [i for i, (kinds, _, _) in enumerate(cells) if "clue" in kinds] == [
        i for i, symbol in enumerate(PUZZLE) if symbol != "."
    ]
    assert [i for i, (kinds, _, _) in enumerate(cells) if "wrong" in kinds] == [0, 1, 9]
    assert "step &lt;1&gt;" in shown


def test_only_the_last_frame_is_shown_before_the_player_starts():
    assert re.findall(
        r"<figure data-step=.(\d).( hidden)?", drawing.draw_player("abc", "step", "")
    ) == [
        ("1", " hidden"),
        ("2", " hidden"),
        ("3", ""),
    ]


def test_the_table_has_a_row_for_each_mode():
    rows = re.findall(r"<tr>(.*?)</tr>", drawing.draw_modes(outcome_of(WRONG, RIGHT).results))
    cells = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in rows]
    assert cells[1:] == [
        ["all steps", "2", "25.0%", "verified", "12.3 ms"],
        ["until it halts", "2", "25.0%", "not solved", "12.3 ms"],
        ["several runs", "2 &times; 8 runs", "25.0%", "verified", "12.3 ms"],
    ]


@pytest.fixture(scope="module")
def candidate_folder(tmp_path_factory):
    """The folder of an untrained model that eliminates candidates, for 4x4 Sudokus."""
    return untrained.save_candidate_model(tmp_path_factory.mktemp("demo") / "model")


def test_a_search_gets_a_verdict_its_passes_and_the_control(candidate_folder):
    searching = prepare(model_loading.load(candidate_folder), num_rollouts=1, noise=0)
    found = searching.ask(sudoku.encode("." * 4 + PUZZLE[4:]))
    shown = page.draw(found, LOOK)
    num_passes = len(found.trajectory.events)
    assert shown.startswith('<h2 class="verified">verified <small>after ')
    assert shown.count("<figure") == num_passes
    rows = re.findall(r"<th>(network|singles)</th><td>(\d+)</td><td class=.verified", shown)
    assert [name for name, _ in rows] == ["network", "singles"]
    assert int(rows[0][1]) == num_passes
    assert "<s>" in shown


def test_the_page_tells_how_many_puzzles_a_search_solved(candidate_folder, tmp_path):
    measured = shutil.copytree(candidate_folder, tmp_path / "model")
    scores = {"accuracy_without_search": 0.4, "num_examples": 1000, "verified_fraction": 0.9}
    runs.write_json(measured / runs.RESULT, scores)
    about = prepare(model_loading.load(measured), num_rollouts=1, noise=0).about()
    assert "40.0% of 1,000 puzzles that it was not trained on without a guess" in about
    assert "90.0% of them with search" in about


def test_a_long_search_shows_its_first_and_last_passes():
    every = np.ones((70, 16, 4), bool)
    events = (SearchEvent.GUESS,) * 35 + (SearchEvent.DEAD_END,) * 35
    question = sudoku.encode(PUZZLE)
    found = SearchTrajectory(question, every, every, np.zeros((70, 16), bool), events, None)
    results = {name: SearchResult(70, False, 1.0) for name in search_drawing.SEARCHES}
    shown = search_drawing.draw_search(SearchOutcome(found, "", results), LOOK)
    assert shown.startswith(drawing.NOT_SOLVED)
    assert "35 guesses led to 35 contradictions" in shown
    captions = re.findall(r"<figcaption>pass (\d+) of 70", shown)
    assert list(map(int, captions)) == [*range(1, 31), *range(41, 71)]


def test_the_page_tells_the_parameters_of_the_model_and_its_accuracy(folder, tmp_path):
    measured = shutil.copytree(folder, tmp_path / "model")
    runs.write_json(measured / runs.RESULT, {"exact_accuracy": 0.991, "num_examples": 1000})
    about = RolloutDemonstration(model_loading.load(measured)).about()
    expected = (
        r"A model of [\d,]+ parameters\. It solves 99\.1% \(95% interval 98\.3% to 99\.5%\) of"
    )
    assert re.match(f"{expected} 1,000 puzzles", about)


def test_the_cells_of_a_row_a_column_and_a_box_are_groups_that_must_differ():
    groups = LOOK.groups
    assert len(groups) == 12
    assert {(0, 1, 2, 3), (0, 4, 8, 12), (0, 1, 4, 5)} <= set(map(tuple, groups))


def test_thick_lines_separate_the_boxes_of_a_sudoku():
    assert ":nth-child(6n+3)" in drawing.look_of("sudoku", 36).css
    assert drawing.look_of("maze", 81).css == ""


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("#####\n#Soo#\n#  o#\n#  G#\n#####", []),
        ("#####\n#Soo#\n# oo#\n#  G#\n#####", [7, 8, 12, 13]),  # two paths
        ("#####\n#So #\n#   #\n# oG#\n#####", [17, 18]),  # cut off from S
        ("#####\n#Soo#\n#  o#\n#o G#\n#####", [16]),  # not on the path
        ("#####\n#Soo#\n#  o#\n#  G \n#####", [19]),  # a wall is changed
    ],
)
def test_the_wrong_cells_of_a_maze_are_those_that_break_a_rule(answer, wrong):
    question = maze.encode("#####\n#S  #\n#   #\n#  G#\n#####")
    marked = rules_of("maze").wrong_cells(question[None], maze.encode(answer)[None])[0]
    assert np.flatnonzero(marked).tolist() == wrong


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (RIGHT, []),
        ("1234341221434323", [11, 13, 15]),  # 3 twice in row 4, in column 4 and in box 4
        ("1.34341221434321", [1]),  # blank
        ("3214341221434321", [0, 2, 4, 6]),  # a clue is changed, columns 1 and 3 repeat
    ],
)
def test_the_wrong_cells_of_a_sudoku_are_those_that_break_a_rule(answer, wrong):
    marked = rules_of("sudoku").wrong_cells(
        sudoku.encode(PUZZLE)[None], sudoku.encode(answer)[None]
    )[0]
    assert np.flatnonzero(marked).tolist() == wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no puzzle yet"),
        (" \n\n ", "there is no puzzle yet"),
        ("." * 16, "the grid is empty"),
        ("11" + "." * 14, "has 1 more than once in row 1"),
        ("1.3?" + "." * 12, "character '?' in cell 4"),
        ("1.3", "3 cells; expected"),
        ("1" + "." * 80, "81 cells; expected 16, or 4 in each of 4 rows"),
        (f"{PUZZLE}\n{PUZZLE}", "there are 2 puzzles; enter one at a time"),
        ("12...." + "3" + "..." + "4" + ".....", "has no solution"),
        ("." * 5_000, "the text has 5,000 characters"),
    ],
)
def test_invalid_input_produces_an_explanation_and_no_frames(demonstration, text, message):
    shown = page.answer(demonstration, LOOK, text)
    assert message.replace("'", "&#x27;") in shown.replace("There", "there").replace("The ", "the ")
    assert shown.startswith('<p class="sentence"')
    assert "<figure" not in shown


def test_a_puzzle_gets_a_verdict_all_steps_and_all_modes(demonstration):
    for text in (PUZZLE, IN_LINES, PUZZLE.replace(".", "0")):
        shown = page.answer(demonstration, LOOK, text)
        assert shown.startswith("<h2")
        assert shown.count("<figure") >= 3
        assert "2 runs" in shown


def test_examples_have_the_size_of_the_model(demonstration):
    tokens, remark = demonstration.read(sudoku.decode(demonstration.example()))
    assert tokens.shape == (16,)
    assert remark == ""


def test_importing_the_command_defines_no_flags():
    modules = flags.FLAGS.flags_by_module_dict()
    assert not [name for name in modules if name.startswith(("cgar_jax.demo", "cgar_jax.commands"))]


def test_a_missing_gradio_is_an_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ValueError, match=r"pip install 'cgar_jax\[demo\]'"):
        page.require_gradio()


def test_an_occupied_port_is_an_error_that_names_the_port():
    with socket.create_server((page.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}: .*--port"):
            page.check_port(port)


def test_a_model_of_puzzles_with_embeddings_is_refused_before_it_is_loaded(folder, tmp_path):
    config, task = runs.read_settings(folder)
    config.data = {"name": "arc"}
    runs.write_json(tmp_path / "config.json", runs.settings(config, task))
    with pytest.raises(ValueError, match="can only answer the puzzles that it was trained on"):
        demo.main(types.SimpleNamespace(workdir=tmp_path), [])


@pytest.mark.skipif(
    BROWSER is None or not all(map(importlib.util.find_spec, ("gradio", "playwright"))),
    reason="needs gradio, playwright and Chromium",
)
def test_the_page_works_in_a_browser_and_reaches_only_this_machine(folder, cache, tmp_path):
    with socket.create_server((page.HOST, 0)) as free:
        port = free.getsockname()[1]
    flags = (f"--workdir={folder}", f"--port={port}", "--num_rollouts=2")
    server = commands.start("demo", *flags, cache=cache, log=tmp_path / "log")
    try:
        commands.wait_for(lambda: "serving on" in server.output(), server, seconds=400)
        assert_only_this_machine_can_connect(port)
        play_with_the_page(port)
    finally:
        server.signal(signal.SIGKILL)
        server.wait()


def assert_only_this_machine_can_connect(port):
    if pathlib.Path("/proc/net/tcp").exists():
        hosts = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in pathlib.Path(table).read_text(encoding="utf-8").splitlines()[1:]:
                host, number = line.split()[1].split(":")
                if int(number, 16) == port and line.split()[3] == "0A":  # the socket listens
                    hosts.add(host)
        assert hosts == {"0100007F"}  # 127.0.0.1


def play_with_the_page(port):
    from playwright.sync_api import sync_playwright

    hosts, errors = set(), []
    with sync_playwright() as play:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = play.chromium.launch(executable_path=BROWSER, args=options)
        tab = browser.new_page()
        tab.set_default_timeout(60_000)
        tab.on("request", lambda request: hosts.add(urllib.parse.urlsplit(request.url).hostname))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(f"http://{page.HOST}:{port}/")
        text = tab.locator("#text textarea")

        def solve(entered=None):
            """Solves a puzzle and returns the text of the outcome."""
            if entered is not None:
                text.fill(entered)
                tab.wait_for_selector("#outcome .hint")
            tab.get_by_role("button", name="Solve").click()
            tab.wait_for_selector("#outcome h2, #outcome .sentence")
            return tab.locator("#outcome").inner_text()

        assert "A model of " in tab.locator("h1 + p").inner_text()
        tab.locator("#outcome figure").nth(2).wait_for(state="attached")
        assert len(text.input_value()) == 19
        tab.get_by_role("button", name="play").wait_for()  # the animation has ended
        tab.get_by_role("button", name="play").click()
        tab.get_by_role("button", name="pause").wait_for()
        tab.get_by_role("button", name="play").wait_for()

        assert re.match("verified|not solved", solve(IN_LINES))
        drawn = tab.locator("#editor .grid > button")
        assert drawn.all_inner_texts() == [symbol.strip(".") for symbol in PUZZLE]
        tab.get_by_label("supervision step").last.fill("1")
        assert "supervision step 1 of 3" in tab.locator("#outcome figure:visible").inner_text()
        assert tab.locator(".modes tbody tr").count() == 3

        for entered, message in (
            ("1x", "2 cells; expected"),
            ("11" + "." * 14, "1 more than once"),
            ("." * 16, "The grid is empty"),
            ("", "There is no puzzle yet"),
            ("<script>ran = 1</script><img src=x onerror='ran = 1'>", "cells; expected"),
            ("${ran = 1}{{ran}}", "cells; expected"),
        ):
            assert message in solve(entered)
            assert tab.locator("#outcome figure").count() == 0

        tab.get_by_role("button", name="Example").click()
        assert re.match("verified|not solved", solve())
        tab.get_by_role("button", name="Clear").click()
        tab.wait_for_function("document.querySelector('#text textarea').value === ''")
        drawn.nth(5).click()
        tab.keyboard.press("4")
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press("4")
        tab.wait_for_function("document.querySelector('#text textarea').value.length === 19")
        assert text.input_value() == "....\n.44.\n....\n...."
        style = "cell => getComputedStyle(cell).borderRightColor"
        assert drawn.nth(0).evaluate(style) == "rgb(184, 192, 202)"  # not the color of the text
        clashing = tab.locator("#editor .grid > .wrong")
        assert clashing.count() == 2
        assert clashing.first.get_attribute("aria-label") == "cell 6: 4, clashes"
        assert "4 more than once in row 2" in solve()
        assert tab.evaluate("window.ran") is None
        browser.close()
    assert hosts - {None} == {page.HOST}
    assert not errors
