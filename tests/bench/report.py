"""What a benchmark brings home, and the page that shows it: aligned Markdown, readable as plain text."""
import dataclasses


@dataclasses.dataclass
class Table:
    title: str
    columns: list
    rows: list
    note: str = ""

    def markdown(self):
        cells = [self.columns, *[[str(cell) for cell in row] for row in self.rows]]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["| " + " | ".join(cell.rjust(width) if n else cell.ljust(width)
                                   for n, (cell, width) in enumerate(zip(row, widths))) + " |" for row in cells]
        rule = "|" + "|".join("-" * (width + 1) + (":" if n else "-") for n, width in enumerate(widths)) + "|"
        note = f"\n{self.note}\n" if self.note else ""
        return "\n".join([f"### {self.title}", "", lines[0], rule, *lines[1:]]) + "\n" + note


@dataclasses.dataclass
class Plot:
    """Bars: {name: values}, the median drawn, the spread marked. Lines: {name: [(x, y)...]}."""
    title: str
    unit: str
    series: dict
    kind: str = "lines"
    x: str = ""


def page(tables, machine):
    return f"# gradingd: measured on {machine}\n\n" + "\n".join(table.markdown() for table in tables)
