"""The notebooks as a reader meets them: JupyterLab in a browser, a mouse and a keyboard."""

import re
import warnings
from datetime import UTC, datetime

import folders
import nbformat
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from lab import AT_REST, Lab, Watch, jupyterlab, pictures, start_browser
from lyon import plan_change

from vmscert.changes.job import EXAMPLE
from vmscert.facts import NOTEBOOKS
from vmscert.pages import page
from vmscert.runbooks.handbook import handbook
from vmscert.runbooks.stages import open_job
from vmscert.windows.inventory import write_inventory
from vmscert.windows.stores import Stores

SWITCH = ".widget-checkbox input"
SLIDER = ".widget-slider .noUi-handle"

LESSONS = ["00-start-here", "01-a-key-pair", "05-a-handshake", "06-who-talks-to-whom"]
CREATE_CA, CREATE, TRUST, IMPORT = (
    "11-create-the-ca-certificate",
    "12-create-server-certificates",
    "13-trust-the-ca-on-clients",
    "14-import-server-certificates",
)
ENCRYPT = "15-enable-encryption"
WHOLE = [*LESSONS, CREATE, TRUST, IMPORT]
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
    folder = tmp_path_factory.mktemp("lab")
    with jupyterlab(folder) as address:
        yield Lab(browser.new_page(), address, folder)


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


def test_the_board_of_a_rehearsal_shows_each_computer_as_verified_by_sign_and_word(lab, api):
    board = lab.ran(IMPORT).panel.locator("table:has(th:text-is('next'))")
    api.expect(board.locator("td:has-text('✓ verified')")).to_have_count(13)


# A real site: its computers are not simulated, and nobody types a password.

GIVEN = {CREATE_CA: {"key_bits": 4096, "years": 10}, CREATE: {"days": 397, "key_bits": 2048}}


@pytest.fixture(scope="module")
def lyon(opened):
    """The example's table under another name, with all keys made here; its CA exists."""
    table = opened.folder / "lyon.csv"
    table.write_bytes(EXAMPLE.read_bytes().replace(b"csr", b"pfx"))
    run_on(opened, table, CREATE_CA)
    run_on(opened, table, CREATE)
    return table


def run_on(lab, table, name):
    """Write another site into the cell of the parameters, and run all cells."""
    notebook = lab.open(name)
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    (number,) = [n for n, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    source = cells[number].source.replace("data/sites/example.csv", table.as_posix())
    source = source.replace('APPROVED: str = ""', f"APPROVED: str = {approval(lab, table, name)!r}")
    notebook.write(number, source.replace('OUT_BY: str = ""', 'OUT_BY: str = "Bob Stone"'))
    notebook.run_all()
    return notebook


def approval(lab, table, name):
    """What somebody else says who has read the plan that this notebook is about to make."""
    job = open_job(name, table, lab.folder / "VMSCERT_RECORDS/lyon")
    return f"{plan_change(job, **GIVEN.get(name, {})).hash} Anna Berg"


def test_the_password_of_pfx_files_is_on_the_page_alone_and_one_click_takes_it_away(lab, api, lyon):
    notebook = lab.open(CREATE)
    shown = notebook.panel.locator(".widget-html div[style*=monospace]")
    api.expect(shown).to_be_visible()
    password = shown.text_content()
    words = password.split(" ")
    assert [len(word) for word in words] == [6] * 5
    files = [path for path in lab.folder.glob("VMSCERT_RECORDS/lyon/**/*") if path.is_file()]
    (pfx,) = [path for path in files if path.suffix == ".pfx" and "vms-rec-02" in str(path)]
    assert load_pkcs12(pfx.read_bytes(), password.encode()).key
    notebook.panel.get_by_role("button", name="I have written it down").click()
    api.expect(shown).to_be_hidden()
    told = [str(notebook.cells()).encode(), notebook.panel.text_content().encode()]
    told += [path.read_bytes() for path in (*files, lab.save(CREATE))]
    # One word may happen to be one that we speak: before, delete.
    assert sum(any(word.encode() in text for text in told) for word in words) <= 1


def test_what_comes_back_is_chosen_on_the_board_and_changes_it_or_is_refused_in_one_sentence(
    lab, api, lyon
):
    notebook = run_on(lab, lyon, TRUST)
    board = notebook.panel.locator(".jp-Cell:has(.widget-upload)")
    row = board.locator("tr:has-text('vms-pc-01')")
    api.expect(row).to_contain_text("☐ to do")
    board.locator("select").select_option("vms-pc-01")
    board.get_by_role("button", name="Note their folders as carried").click()
    api.expect(row).to_contain_text("→ carried")
    ca = x509.load_der_x509_certificate((lab.folder / "VMSCERT_RECORDS/lyon/ca.cer").read_bytes())
    stores = Stores("vms-pc-01", datetime.now(UTC), root=(ca,))
    notebook.choose("vms-pc-01.json", write_inventory(stores))
    api.expect(row).to_contain_text("✓ verified")
    api.expect(board).to_contain_text("vms-pc-01: inventory of ")
    notebook.choose("vms-pc-01.json", b"{ rubbish")
    api.expect(board).to_contain_text("not kept: vms-pc-01.json: is not JSON. Run inventory.ps1")
    api.expect(row).to_contain_text("✓ verified")
    api.expect(board).not_to_contain_text("Traceback")


def test_a_stop_is_brought_into_view_and_what_another_run_showed_below_it_is_gone(lab, api, lyon):
    notebook = lab.ran(ENCRYPT)  # of the example, to its end
    cells = notebook.cells()
    (number,) = [n for n, cell in enumerate(cells) if is_tagged(cell, "parameters")]
    (stop,) = [n for n, cell in enumerate(cells) if is_tagged(cell, "precheck")]
    assert all(cell["outputs"] for cell in cells[stop:] if cell["cell_type"] == "code")
    source = "".join(cells[number]["source"])
    notebook.write(number, source.replace("data/sites/example.csv", lyon.as_posix()))
    lab.do("notebook:run-all-cells")
    lab.within(AT_REST)
    end = notebook.panel.get_by_role("alert")
    api.expect(end).to_contain_text("Stopped in the cell in view; nothing below it was done: not ")
    api.expect(notebook.cell(stop).locator(".jp-OutputArea").first).to_be_in_viewport()
    below = [cell for cell in notebook.cells()[stop + 1 :] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in below)
    end.click()
    api.expect(end).to_have_count(0)


def test_who_leaves_the_page_at_a_password_leaves_a_kernel_that_answers(lab, api):
    notebook = lab.open(TRUST)
    notebook.write(1, "import getpass\ngetpass.getpass('Password: ')")
    lab.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell') }")
    api.expect(notebook.panel.locator(".jp-Stdin-input")).to_be_visible()
    asked = lab.within("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    lab.page.goto("about:blank")
    lab.page.goto(lab.address)
    lab.page.wait_for_function("() => window.jupyterapp")
    lab.within("() => jupyterapp.restored")
    lab.open(TRUST)
    lab.within(AT_REST)
    here = lab.within("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.id")
    assert here == asked


def is_tagged(cell, tag):
    return tag in cell["metadata"].get("tags", [])


# Fonts and browsers differ: a page has to keep to its sheets where all is larger by so much.
SCALES = [1, 1.08]


def sheets(browser, html, scale):
    """How many sheets of A4 a page takes."""
    sheet = browser.new_page()
    sheet.set_content(html.decode())
    printed = sheet.pdf(prefer_css_page_size=True, scale=scale)
    sheet.close()
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", printed))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", ["server", "asking", "answered", "client"])
def test_the_page_of_a_folder_prints_on_one_sheet(browser, kind, scale):
    assert sheets(browser, folders.folders()[kind]["README.html"], scale) == 1


@pytest.mark.parametrize("scale", SCALES)
def test_the_years_after_print_on_two_sheets(browser, site_folder, scale):
    job = open_job("16-verify-the-site", "data/sites/example.csv", site_folder)
    assert sheets(browser, page(handbook(job), "the years after"), scale) == 2
