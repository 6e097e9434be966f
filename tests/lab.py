"""JupyterLab in a browser of this machine, in the words of the person who sits before it."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

HERE = "127.0.0.1"
HOME = Path(__file__).parents[1]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "microsoft-edge")
CHANNELS = ("msedge", "chrome")  # found where Windows and macOS install them

# Whatever asks for another host by its name gets nowhere, also what a page does not tell of.
NO_NETWORK = f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HERE}"

# The real sites of the tests have a CA; nobody is there to type its password, and none is given for
# PFX files: they get the one that the page shows.
PASSWORDS = {"VMSCERT_CA_PASSWORD": "a password of the browser's tests", "VMSCERT_PFX_PASSWORD": ""}

# Where Jupyter and IPython keep things: in the copy's folder, each in one of its own.
KEPT = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")  # fmt: skip

DO = """async ([command, given]) => {
    await jupyterapp.commands.execute(command, given)
}"""
MODEL = "() => jupyterapp.shell.currentWidget.model.toJSON()"
CONNECTED = """async () => {
    const panel = jupyterapp.shell.currentWidget
    await panel.context.ready
    await panel.sessionContext.ready
    await panel.sessionContext.session.kernel.info
}"""
# To run all answers at the first red cell, even where red is meant: so ask, behind all the cells.
AT_REST = """async () => {
    const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session
    await kernel.requestExecute({ code: '', silent: true }).done
}"""
DRAWN = "images => images.filter(i => i.complete && i.naturalWidth).map(i => i.src)"


def start_browser(playwright):
    """Start a headless browser of this machine; LookupError where there is none.

    VMSCERT_CHROMIUM, if set, is the program to take, and no other.
    """
    from playwright.sync_api import Error

    refusals = []
    for place in _places():
        try:
            return playwright.chromium.launch(args=[NO_NETWORK], **place)
        except Error as error:
            refusals.append(str(error).splitlines()[0])
    raise LookupError("; ".join(refusals))


def _places():
    if named := os.environ.get("VMSCERT_CHROMIUM"):
        return [{"executable_path": named}]
    found = filter(None, map(shutil.which, PROGRAMS))
    return [*({"executable_path": one} for one in found), *({"channel": one} for one in CHANNELS)]


@contextmanager
def jupyterlab(folder):
    """Run `vmscert lab` on a copy of the kit in `folder`; yield the address to visit."""
    for name in ("vmscert", "data", "notebooks"):
        shutil.copytree(HOME / name, folder / name, ignore=_of_a_reader)
    server = _start(folder)
    told = _told(server, folder)
    try:
        yield f"{told['url']}lab?token={told['token']}"
    finally:
        _shut_down(told)
        server.wait(timeout=60)


def _of_a_reader(folder, names):
    """What a checkout holds of who works with it: records, and notebooks as they were edited."""
    mine = {".ipynb_checkpoints", *(["records"] if Path(folder).name == "data" else [])}
    return mine & set(names)


def _start(folder):
    command = [
        *(sys.executable, "-c", "from vmscert.cli.main import main; main()", "lab"),
        f"--ServerApp.ip={HERE}",
        "--ServerApp.port=0",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        "--LabApp.expose_app_in_browser=True",
    ]
    kept = {name: str(folder / name) for name in (*KEPT, "VMSCERT_RECORDS")}
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | kept | PASSWORDS | {"PYTHONPATH": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _told(server, folder, seconds=60):
    """What the server writes about itself once it listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        for file in folder.glob("JUPYTER_RUNTIME_DIR/jpserver-*.json"):
            if text := file.read_text(encoding="utf-8"):
                return json.loads(text)
        time.sleep(0.05)
    server.kill()
    raise RuntimeError((folder / "server.log").read_text(encoding="utf-8", errors="replace"))


def _shut_down(told):
    """Ask the server to end, with all its kernels: on Windows no signal would reach it."""
    header = {"Authorization": f"token {told['token']}"}
    asked = Request(f"{told['url']}api/shutdown", method="POST", headers=header)
    build_opener(ProxyHandler({})).open(asked, timeout=30).close()


@dataclass
class Watch:
    """What a page asked of other hosts, and what it complained of on its console."""

    strayed: list = field(default_factory=list)
    complaints: list = field(default_factory=list)

    def over(self, page):
        """Begin to watch a page; return the watch."""
        page.on("request", lambda request: self._visited(request.url))
        page.on("websocket", lambda socket: self._visited(socket.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        return self

    def _visited(self, url):
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname != HERE:
            self.strayed.append(url)

    def _heard(self, message):
        if message.type == "error":
            self.complaints.append(message.text)

    def told(self):
        """Return what was noticed since the last time: hosts asked, complaints."""
        told = self.strayed[:], self.complaints[:]
        self.strayed.clear()
        self.complaints.clear()
        return told


class Lab:
    """A page of JupyterLab, the notebooks that are open in it, and the folder of its kit."""

    def __init__(self, page, address, folder):
        self.page, self.address, self.folder = page, address, folder
        self.watch = Watch().over(page)
        self._ran = set()
        page.goto(address)
        page.wait_for_function("() => window.jupyterapp")
        self.within("() => jupyterapp.restored")

    def within(self, script, given=None, seconds=60):
        """Return what the page answers; playwright itself would wait for ever."""
        late = f"new Promise((_, no) => setTimeout(no, {seconds * 1000}, Error('too slow')))"
        return self.page.evaluate(f"given => Promise.race([({script})(given), {late}])", given)

    def do(self, command, given=None, seconds=60):
        """Do what a menu of JupyterLab would, and wait until it is done."""
        self.within(DO, [command, given or {}], seconds)

    def open(self, name):
        """Open a notebook, or come back to it, and wait until its kernel answers."""
        self.do("docmanager:open", {"path": f"notebooks/{name}.ipynb", "factory": "Notebook"})
        self.within(CONNECTED)
        return Notebook(self)

    def save(self, name):
        """Save a notebook; return its file as it lies on the disk then."""
        self.open(name)
        self.do("docmanager:save")
        return self.folder / "VMSCERT_RECORDS/example/notebooks" / f"{name}.ipynb"

    def ran(self, name):
        """Open a notebook, or come back to it; when it is new, run all its cells."""
        notebook = self.open(name)
        if name not in self._ran:
            notebook.run_all()
            self._ran.add(name)
        return notebook


class Notebook:
    """The notebook in front; cells are counted from 0, as in its file."""

    def __init__(self, lab):
        self._lab, self._keyboard = lab, lab.page.keyboard
        self.panel = lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def run_all(self, seconds=120):
        """Clear what is shown, run all cells, and wait for the last one."""
        self._lab.do("notebook:clear-all-cell-outputs")
        self._lab.do("notebook:run-all-cells", seconds=seconds)
        self._lab.within(AT_REST, seconds=seconds)

    def cells(self):
        """Every cell, as the notebook's file would hold it now."""
        return self._lab.within(MODEL)["cells"]

    def cell(self, number):
        """What the page shows of a cell."""
        return self.panel.locator(f'.jp-Cell[data-windowed-list-index="{number}"]')

    def answer(self, number, text):
        """Write over a cell, run it and the one below; return where that one's output appears."""
        self.write(number, text)
        self._keyboard.press("Shift+Enter")
        self._keyboard.press("Shift+Enter")
        return self.cell(number + 1).locator(".jp-OutputArea-output")

    def write(self, number, text):
        """Write over a cell, and run nothing."""
        self.cell(number).locator(".cm-content").click()
        self._keyboard.press("ControlOrMeta+A")
        self._keyboard.insert_text(text)

    def choose(self, name, data):
        """Choose a file in the dialog that the notebook's only upload button opens."""
        with self._lab.page.expect_file_chooser() as dialog:
            self.panel.locator(".widget-upload").click()
        dialog.value.set_files({"name": name, "mimeType": "text/plain", "buffer": data})

    def move(self, handle):
        """Move a slider by one step, or click anything else; wait until a picture changes."""
        cell = handle.locator("xpath=ancestor::*[contains(@class, 'jp-CodeCell')]")
        before = pictures(cell)
        slider = handle.evaluate("it => it.getAttribute('role') === 'slider'")
        handle.press(_inwards(handle)) if slider else handle.click()
        self.until(lambda: len(now := pictures(cell)) == len(before) and now != before)

    def until(self, holds, seconds=30):
        """Wait until something holds, while the page goes on."""
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"it does not hold after {seconds} s"
            self._lab.page.wait_for_timeout(20)


def pictures(where):
    """The address of every picture that is drawn in a part of the page."""
    return where.locator("img").evaluate_all(DRAWN)


def _inwards(slider):
    """The key that moves a slider where there is room."""
    now, end = (slider.get_attribute(f"aria-value{which}") for which in ("now", "max"))
    return "ArrowLeft" if now == end else "ArrowRight"


def main():
    """Tell which browser the tests would take, or why there is none: for the build server."""
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright, start_browser(playwright) as browser:
            print(f"The lessons are tested in {browser.browser_type.name} {browser.version}")
    except (ImportError, LookupError) as reason:
        sys.exit(f"No browser for the lessons: {reason}")


if __name__ == "__main__":
    main()
