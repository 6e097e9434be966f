"""A short quiz after each lesson: choices that answer when they are opened.

It is plain HTML without a script, so it works in JupyterLab, in exported pages, and offline.
"""

from dataclasses import dataclass
from html import escape
from itertools import groupby

from vmscert.facts import facts

_BOX = "border: 1px solid #d8dee4; border-radius: 6px; padding: 4px 10px; margin: 4px 0"


@dataclass(frozen=True)
class Choice:
    """One answer to a question: whether it is right, and what is said to who chooses it.

    `misconception` is the name of the row of data/misconceptions.csv behind a wrong choice.
    """

    text: str
    right: bool
    reply: str
    misconception: str = ""


@dataclass(frozen=True)
class Question:
    """A question with its choices, of which one is right."""

    text: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Quiz:
    """The questions of one lesson; in a notebook, a choice opens with a click and answers."""

    questions: tuple[Question, ...]

    def _repr_html_(self) -> str:
        return "".join(
            f"<p><b>{number}. {escape(question.text)}</b></p>"
            + "".join(map(_html, question.choices))
            for number, question in enumerate(self.questions, 1)
        )

    def __repr__(self) -> str:
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines.append(f"{number}. {question.text}")
            lines += [f"   ( ) {choice.text}" for choice in question.choices]
        return "\n".join(lines)


def quiz(lesson: str) -> Quiz:
    """Return the quiz of a lesson, by its number: `quiz("01")`. ValueError if it has none."""
    rows = [row for row in facts("quiz") if row["lesson"] == lesson]
    if not rows:
        known = ", ".join(sorted({row["lesson"] for row in facts("quiz")}))
        raise ValueError(f"data/quiz.csv: no questions for lesson {lesson!r}; it has {known}")
    asked = groupby(rows, key=lambda row: row["question"])
    return Quiz(tuple(Question(text, tuple(map(_choice, group))) for text, group in asked))


def _choice(row: dict[str, str]) -> Choice:
    return Choice(row["choice"], row["right"] == "yes", row["reply"], row["misconception"])


def _html(choice: Choice) -> str:
    verdict = "✔ Right." if choice.right else "✘ Not yet."
    return (
        f'<details style="{_BOX}"><summary>{escape(choice.text)}</summary>'
        f"<p>{verdict} {escape(choice.reply)}</p></details>"
    )
