"""The lessons as a reader meets them: JupyterLab in a browser, a mouse and a keyboard."""

import re
import warnings

import nbformat
import pytest
from lab import Lab, Watch, jupyterlab, pictures, start_browser

from vmscert.facts import NOTEBOOKS

SWITCH = ".widget-checkbox input"
SLIDER = ".widget-slider .noUi-handle"

WHOLE = ["00-start-here", "01-a-key-pair", "05-a-handshake", "06-who-talks-to-whom"]
# notebook, what a reader moves in it, and how many of them there are
MOVED = [
    ("01-a-key-pair", SLIDER, 2),
    ("05-a-handshake", SLIDER, 1),
    ("06-who-talks-to-whom", SWITCH, 3),
]
# notebook, a wrong answer to its first exercise, and the hint to it
WRONG = [
    ("01-a-key-pair", "answer = 125", "You took the modulus"),
    ("06-who-talks-to-whom", "answer = 'vms-mob-01'", "that it passes on to phones"),
]


@pytest.fixture(scope="module")
def api():
    """What moves the browser."""
    reason = "NOT SHOWN: playwright, which moves the browser, can't be imported here"
    api = pytest.importorskip("playwright.sync_api", reason=reason, exc_type=ImportError)
    api.expect.set_options(timeout=30_000)  # a machine may have much else to do
    return api


@pytest.fixture(scope="module")
def browser(api):
    """A browser without a window. It ends with this module: others need its event loop gone."""
    with api.sync_playwright() as playwright:
        try:
            browser = start_browser(playwright)
        except LookupError as error:
            pytest.skip(f"NOT SHOWN: no Chromium, Chrome or Edge starts here: {error}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """JupyterLab with a copy of the kit, as `vmscert lab` opens it."""
    with jupyterlab(tmp_path_factory.mktemp("lab")) as address:
        yield Lab(browser.new_page(), address)


@pytest.fixture
def lab(opened):
    """JupyterLab, watched: no test may make the page ask another host."""
    yield opened
    strayed, complaints = opened.watch.told()
    for complaint in complaints:
        warnings.warn(f"The browser's console: {complaint}", stacklevel=1)
    assert strayed == []


def outputs(cells):
    """Everything that code cells show, except where one shows an error on purpose."""
    for cell in cells:
        if "raises-exception" not in cell["metadata"].get("tags", []):
            yield from cell.get("outputs", [])


def first_exercise(name):
    """The number of the first cell that waits for an answer."""
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    return [cell.source for cell in cells].index("answer = ...")


def test_a_page_that_asks_another_host_is_caught_and_gets_no_answer(browser):
    with browser.new_page() as page:
        watch = Watch().over(page)
        asked = "fetch('https://www.example.com/').then(() => 'answered', () => 'refused')"
        assert page.evaluate(asked) == "refused"
    strayed, complaints = watch.told()
    assert strayed == ["https://www.example.com/"]
    assert len(complaints) == 1


@pytest.mark.parametrize("name", WHOLE)
class TestRunAll:
    def test_every_cell_runs_and_only_those_fail_that_are_meant_to(self, lab, name):
        cells = lab.ran(name).cells()
        failed = [output for output in outputs(cells) if output["output_type"] == "error"]
        assert failed == []
        counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
        assert counts == list(range(1, len(counts) + 1))

    def test_no_library_complains_between_the_lines(self, lab, name):
        said = outputs(lab.ran(name).cells())
        assert [output["text"] for output in said if output.get("name") == "stderr"] == []

    def test_every_picture_and_every_form_is_drawn(self, lab, api, name):
        notebook = lab.ran(name)
        images = notebook.panel.locator("img")
        notebook.until(lambda: len(pictures(notebook.panel)) == images.count())
        api.expect(notebook.panel).not_to_contain_text(
            re.compile("(Error displaying|Loading) widget")
        )


@pytest.mark.parametrize(("name", "handles", "count"), MOVED)
def test_what_a_reader_moves_changes_the_picture_below_it(lab, name, handles, count):
    notebook = lab.ran(name)
    found = notebook.panel.locator(handles).all()
    assert len(found) == count
    for handle in found:
        notebook.move(handle)


@pytest.mark.parametrize(("name", "wrong", "hint"), WRONG)
def test_a_wrong_answer_gets_its_hint_and_the_solution_below_is_right(lab, api, name, wrong, hint):
    notebook = lab.ran(name)
    number = first_exercise(name)
    api.expect(notebook.answer(number, wrong)).to_contain_text(re.compile(f"Not yet.*{hint}"))
    solution = notebook.cell(number + 2).locator("details code")
    api.expect(solution).to_be_hidden()
    notebook.cell(number + 2).locator("summary").click()
    api.expect(notebook.answer(number, solution.inner_text())).to_contain_text("Right.")


def test_no_question_of_jupyterlab_lies_over_the_page(lab, api):
    lab.ran(WHOLE[0])
    api.expect(lab.page.locator(".jp-Dialog, .Toastify__toast")).to_have_count(0)


def test_a_choice_of_a_quiz_answers_when_it_is_opened(lab, api):
    notebook = lab.ran(WHOLE[0])
    choice = notebook.panel.locator(".jp-OutputArea-output details").first
    api.expect(choice.locator("p")).to_be_hidden()
    choice.locator("summary").click()
    api.expect(choice.locator("p")).to_contain_text(re.compile("Right|Not yet"))
