"""Every notebook keeps the form that readers rely on, and its solutions solve its exercises."""

import ast
import re
from collections import Counter
from contextlib import chdir
from functools import cache
from pathlib import Path
from statistics import median

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from vmscert.facts import NOTEBOOKS, facts
from vmscert.findings import RULES
from vmscert.lessons.exercises import quiz

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
RUNBOOKS = [
    path for path in PATHS if path.stem in {row["name"] for row in facts("change/runbooks")}
]
LESSONS = [path for path in PATHS if path.stem.startswith("0")]
TROUBLES = [path for path in PATHS if path.stem.startswith("2") and path not in RUNBOOKS]
# A check that decides whether the notebook goes on may follow the record: what was refused is kept.
ORDER = re.compile(
    r"(parameters) (form) (precheck )+(look )*(plan )(approve )?((act )*(verify )*)+"
    r"(record )(verify )*(record )?$"
)

# A folder that only the machine has on which the notebook ran.
OF_A_MACHINE = re.compile(r"(?<!\w)/(?:home|root|tmp|work|Users)/|\b[A-Za-z]:\\{1,2}\w")


def named(path):
    return path.stem


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path):
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def tags(cell):
    return cell.metadata.get("tags", [])


def outputs(path):
    """The text of everything that a notebook shows."""
    for cell in code_cells(path):
        for output in cell.outputs:
            yield from (output.get("text", ""), *output.get("traceback", []))
            yield from (
                str(text) for kind, text in output.get("data", {}).items() if "text" in kind
            )


def test_a_path_of_a_machine_is_recognised_on_every_system():
    for path in ("/home/ann/kit/", "/root/kit", "/tmp/x", "C:\\Users\\ann", r"'C:\\Users\\ann'"):
        assert OF_A_MACHINE.search(path)
    assert not OF_A_MACHINE.search(
        "data/records/example/hand-over, notebooks/home, LocalMachine/Root"
    )


@pytest.mark.parametrize("path", PATHS, ids=named)
class TestEveryNotebook:
    def test_it_is_committed_as_it_ran_from_top_to_bottom(self, path):
        counts = [cell.execution_count for cell in code_cells(path)]
        assert counts == list(range(1, len(counts) + 1))

    def test_it_ended_without_an_error_except_where_it_shows_one_on_purpose(self, path):
        for cell in code_cells(path):
            failed = "error" in {output.output_type for output in cell.outputs}
            assert failed == ("raises-exception" in tags(cell)), cell.source

    def test_it_holds_no_private_key_and_no_path_of_the_machine_it_ran_on(self, path):
        text = path.read_text(encoding="utf-8")
        assert "PRIVATE KEY" not in text
        assert not OF_A_MACHINE.findall("\n".join(outputs(path)))

    def test_its_metadata_tell_nothing_of_the_machine_and_time_it_ran(self, path):
        metadata = read(path).metadata
        assert metadata == {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        assert not any("execution" in cell.metadata for cell in code_cells(path))

    def test_it_asks_no_other_host_for_anything_and_cites_rfcs_only(self, path):
        sources = [cell.source for cell in read(path).cells]
        shown = "\n".join([*sources, *outputs(path)])
        assert not re.findall(r"https?://(?!www\.rfc-editor\.org/rfc/).{,40}", shown)

    def test_it_opens_with_a_card(self, path):
        card = prose(path)[0]
        wanted = ["Goal", "Time", "You need"]
        if path in RUNBOOKS:
            wanted += ["This changes", "To undo"]
            # Whatever a run asks for stands here, before anybody is asked.
            assert "the password of the key that signs change records" in card
        assert [row for row in wanted if f"| **{row}** |" in card] == wanted

    def test_no_paragraph_is_a_wall_of_words(self, path):
        text = re.sub(r"```.*?```", "", "\n\n".join(prose(path)), flags=re.DOTALL)
        walls = [p for p in re.split(r"\n\s*\n|\n[*\d|#]", text) if len(p.split()) > 60]
        assert walls == []

    def test_its_links_lead_to_notebooks_that_exist(self, path):
        links = re.findall(r"\]\(([^)]+)\)", "\n".join(prose(path)))
        assert [link for link in links if not (NOTEBOOKS / link).exists()] == []

    def test_its_code_cells_are_short(self, path):
        """Those that are read: a check, which is folded away, may be longer."""
        cells = code_cells(path)
        lines = [len(cell.source.splitlines()) for cell in cells if "check" not in tags(cell)]
        assert max(lines) <= 13
        assert median(lines) <= 4
        assert max(len(cell.source.splitlines()) for cell in cells) <= 25


@pytest.mark.parametrize("path", RUNBOOKS, ids=named)
class TestEveryRunbook:
    def test_its_cells_come_in_the_order_of_a_change(self, path):
        parts = [[tag for tag in tags(c) if tag != "nbval-ignore-output"] for c in code_cells(path)]
        assert all(len(part) == 1 for part in parts)
        assert ORDER.match(" ".join(part[0] for part in parts) + " ")

    def test_it_has_at_most_20_cells(self, path):
        assert len(read(path).cells) <= 20

    def test_one_cell_imports_and_each_cell_after_it_only_calls_the_runbook(self, path):
        (_, chosen, opened, *others) = [ast.parse(cell.source).body for cell in code_cells(path)]
        assert isinstance(chosen[0], ast.ImportFrom)
        first, *more = opened
        assert (
            ast.unparse(first) == f"job = open_runbook({path.stem!r}, choice.site, choice.folder)"
        )
        for line in (*more, *(line for cell in others for line in cell)):
            assert isinstance(line, ast.Expr)
            assert ast.unparse(line).startswith("job.")

    def test_a_cell_is_one_call_or_two(self, path):
        _, _, *cells = code_cells(path)
        assert max(len(ast.parse(cell.source).body) for cell in cells) <= 2

    def test_what_changes_something_comes_after_an_approval(self, path):
        parts = [tags(cell)[0] for cell in code_cells(path)]
        assert ("approve" in parts) == ("act" in parts)

    def test_its_outputs_are_not_compared_since_its_keys_are_new_each_time(self, path):
        assert all("nbval-ignore-output" in tags(cell) for cell in code_cells(path))

    def test_the_expectation_stands_before_each_check(self, path):
        text = "\n".join(prose(path))
        assert text.count("Expected:") >= 2


def test_what_stands_in_three_runbooks_to_the_letter_says_no_more_than_that_it_is_called():
    """But for the parameters and the form."""
    cells = Counter(
        cell.source
        for path in RUNBOOKS
        for cell in code_cells(path)
        if not {"parameters", "form"} & set(tags(cell))
    )
    often = [source for source, count in cells.items() if count >= 3]
    calls = [call for source in often for call in source.splitlines()]
    assert [call for call in calls if not re.fullmatch(r"job\.\w+\([A-Z_, ]*\)", call)] == []


@pytest.mark.parametrize("path", TROUBLES, ids=named)
class TestEveryTroubleshooting:
    def test_each_cell_says_what_it_is_for(self, path):
        parts = [[tag for tag in tags(c) if tag != "nbval-ignore-output"] for c in code_cells(path)]
        assert parts[0] == ["parameters"]
        assert {part for (part,) in parts[1:]} <= {"form", "look", "keep"}

    def test_its_outputs_are_not_compared_since_its_servers_are_new_each_time(self, path):
        assert all("nbval-ignore-output" in tags(cell) for cell in code_cells(path))

    def test_it_tells_where_to_go_from_here(self, path):
        assert len(set(re.findall(r"\]\((2\d-[^)]+)\)", "\n".join(prose(path))))) >= 1


def test_every_rule_is_explained_under_a_heading_of_its_own():
    """Findings name rules; the heading is where a reader looks them up."""
    text = prose(NOTEBOOKS / "21-from-symptom-to-cause.ipynb")
    explained = [
        f"## {rule.code}\n\n**Meaning.** {rule.meaning}\n\n**Impact.** {rule.impact}\n\n"
        f"**Diagnosis.** {rule.diagnosis}\n\n**Mitigation.** {rule.remedy_text} "
        f"→ [{rule.remedy}]({rule.remedy}.ipynb)"
        for rule in RULES.values()
    ]
    assert explained == text[-len(RULES) :]


@pytest.mark.parametrize("path", LESSONS, ids=named)
class TestEveryLesson:
    def test_its_outputs_are_compared_to_the_letter_but_for_what_is_measured(self, path):
        free = [cell for cell in code_cells(path) if "nbval-ignore-output" in tags(cell)]
        assert all("measured" in tags(cell) for cell in free)
        assert len(free) <= 2

    def test_it_ends_with_what_the_reader_can_say_now(self, path):
        assert "## What you can say now" in prose(path)[-1]

    def test_it_has_20_to_60_cells_besides_its_exercises(self, path):
        cells = read(path).cells
        of_exercises = [c for c in cells if c.source == "answer = ..." or "check" in tags(c)]
        assert 20 <= len(cells) - len(of_exercises) <= 60

    def test_it_asks_its_quiz(self, path):
        number = path.stem[:2]
        assert f'quiz("{number}")' in "\n".join(cell.source for cell in code_cells(path))
        assert 2 <= len(quiz(number).questions) <= 5


def exercises(notebook):
    """(number of the answer cell, solution) of every exercise: answer, check, solution."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source == "answer = ...":
            solution = notebook.cells[number + 2].source
            yield number, re.search(r"<details>.*?```python\n(.*?)```", solution, re.DOTALL)[1]


def verdicts(notebook):
    checks = [cell for cell in notebook.cells if "check" in tags(cell)]
    return [ast.literal_eval(c.outputs[0].data["text/plain"]) for c in checks]


# In the place of `expect`: all that a check says to the solution, to an answer that nobody thought
# of, and to each answer that it has a hint for, with that hint.
TRY_ALL = """
import vmscert.lessons.exercises as _lesson
def expect(answer, wanted, hints):
    said = lambda one: _lesson.expect(one, wanted, hints)
    return repr((said(answer), said("something else"), [(said(w), h) for w, h in hints.items()]))
"""


@cache
def tried(path):
    """For each exercise of a lesson, answered by its solution: what `TRY_ALL` returns.

    In a shell like a kernel's, in this process: nbval gives every notebook a kernel of its own.
    """
    notebook = read(path)
    for number, solution in list(exercises(notebook)):
        notebook.cells[number].source = solution
        check = notebook.cells[number + 1]
        plain = re.sub(
            r"^from vmscert.lessons import expect$", "", check.source, flags=re.MULTILINE
        )
        check.source = TRY_ALL + plain
    shell = InteractiveShell()
    with chdir(NOTEBOOKS), capture_output():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        ran = [(cell, shell.run_cell(cell.source).result) for cell in cells]
    return [ast.literal_eval(result) for cell, result in ran if "check" in tags(cell)]


@pytest.mark.parametrize("path", LESSONS, ids=named)
class TestExercises:
    def test_each_has_a_check_that_hides_the_answer_and_invites_as_long_as_there_is_none(
        self, path
    ):
        notebook = read(path)
        found = list(exercises(notebook))
        for number, _ in found:
            check = notebook.cells[number + 1]
            assert tags(check)[0] == "check"
            assert check.metadata.jupyter.source_hidden
            assert check.source.startswith("# Checks your answer\n")  # a folded cell shows that
        assert 2 <= len(found) == len(verdicts(notebook))
        assert all(verdict.startswith("Your turn") for verdict in verdicts(notebook))

    def test_every_solution_solves_its_exercise(self, path):
        assert {right for right, _, _ in tried(path)} == {"Right."}

    def test_a_wrong_answer_is_not_right(self, path):
        assert {wrong for _, wrong, _ in tried(path)} == {"Not yet."}

    def test_every_hint_is_said_to_the_answer_that_it_was_written_for(self, path):
        for _, _, hinted in tried(path):
            assert len(hinted) >= 2
            assert hinted == [(f"Not yet. {hint}", hint) for _, hint in hinted]


def test_the_course_has_at_least_40_exercises():
    assert sum(len(list(exercises(read(path)))) for path in LESSONS) >= 40


@pytest.mark.parametrize("row", facts("misconceptions"), ids=lambda row: row["name"])
def test_every_misconception_is_said_and_set_right_where_the_table_says(row):
    """A cell that runs, or the check of an exercise, carries its name; the text quotes it."""
    (path,) = [path for path in LESSONS if path.stem.startswith(row["lesson"])]
    assert row["said"] in " ".join("\n".join(prose(path)).split())
    named_for_it = [cell for cell in code_cells(path) if f"myth-{row['name']}" in tags(cell)]
    assert len(named_for_it) == 1


@pytest.mark.parametrize("row", facts("objectives"), ids=lambda row: row["number"])
def test_every_objective_of_the_course_ends_with_a_check(row):
    cells = code_cells(NOTEBOOKS / f"{row['notebook']}.ipynb")
    assert [tags(c)[0] for c in cells if f"objective-{row['number']}" in tags(c)] == ["check"]


def test_no_cell_names_a_misconception_or_an_objective_that_no_table_knows():
    known = {f"myth-{row['name']}" for row in facts("misconceptions")}
    known |= {f"objective-{row['number']}" for row in facts("objectives")}
    used = {tag for path in LESSONS for cell in code_cells(path) for tag in tags(cell)}
    assert {tag for tag in used if tag.startswith(("myth-", "objective-"))} == known


def test_the_readme_lists_every_notebook():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d\d) \|", readme, re.MULTILINE)
    assert listed == [path.stem[:2] for path in PATHS]
