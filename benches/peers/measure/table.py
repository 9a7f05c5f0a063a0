"""A table of figures: a row for each thing measured, a column for each peer, several samples a cell, goals for ours."""

import dataclasses
import statistics

from .peers import PEERS, US

NAMES = [peer.name for peer in PEERS]


@dataclasses.dataclass(frozen=True)
class Goal:
    """What our figure shall be: at most (or at least) so much, or so many times a peer's."""

    bound: float
    of: str = ""
    row: str = ""  # of the peer's figure, if it is another one
    at_least: bool = False

    def limit(self, table, row):
        if not self.of:
            return self.bound
        theirs = table.median(self.row or row, self.of)
        return None if theirs is None else self.bound * theirs

    def text(self, table, row):
        limit, ours = self.limit(table, row), table.median(row, US)
        sign = "≥" if self.at_least else "≤"
        said = f"{sign} {self._bound(table)}"
        if limit is None or ours is None:
            return f"{said}: not measured"
        if self.of:
            said += f" = {table.number(limit)}"
        met = ours >= limit if self.at_least else ours <= limit
        return f"{said}: {'met' if met else '**missed**'}"

    def _bound(self, table):
        if not self.of:
            return table.number(self.bound)
        if self.row:
            return f"{self.bound:g} × {self.row}"
        return f"{self.of} / {1 / self.bound:g}" if self.bound < 0.5 else f"{self.bound:g} × {self.of}"


class Table:
    """Rows by columns of samples."""

    def __init__(self, title, unit, note="", digits=2, higher_is_better=False, plot=None):
        self.title, self.unit, self.note = title, unit, note
        self.digits, self.higher_is_better = digits, higher_is_better
        self.plot = plot  # name of the SVG file, without its ending
        self.rows, self.columns = [], []
        self.samples, self.failures, self.goals = {}, {}, {}

    def add(self, row, column, value):
        self._know(row, column)
        self.samples.setdefault((row, column), []).append(value)

    def fail(self, row, column, why):
        self._know(row, column)
        self.failures[row, column] = why

    def failed(self, row, column):
        return (row, column) in self.failures

    def goal(self, row, *goals):
        self._know(row)
        self.goals[row] = goals

    def median(self, row, column):
        values = self.samples.get((row, column))
        return statistics.median(values) if values else None

    def spread(self, row, column):
        values = self.samples[row, column]
        return min(values), max(values)

    def number(self, value):
        return f"{value:,.{self.digits}f}" if value < 1000 else f"{value:,.0f}"

    def cell(self, row, column):
        if self.failed(row, column):
            return "fails"
        median = self.median(row, column)
        if median is None:
            return "–"
        if len(self.samples[row, column]) == 1:
            return self.number(median)
        low, high = self.spread(row, column)
        return f"{self.number(median)} ({self.number(low)}–{self.number(high)})"

    def markdown(self):
        head = ["", *self.columns] + (["goal for lariat"] if self.goals else [])
        lines = [f"### {self.title}", "", f"{self.unit}. {self.note}".strip(), ""]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in self.rows:
            cells = [self.cell(row, column) for column in self.columns]
            if self.goals:
                cells.append("; ".join(goal.text(self, row) for goal in self.goals.get(row, ())))
            lines.append("| " + " | ".join([row, *cells]) + " |")
        return "\n".join(lines) + "\n"

    def _know(self, row, column=None):
        if row not in self.rows:
            self.rows.append(row)
        if column and column not in self.columns:
            self.columns.append(column)
            self.columns.sort(key=NAMES.index)
