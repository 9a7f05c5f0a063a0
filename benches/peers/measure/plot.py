"""Bar charts in SVG: a panel for each row of a table, a bar for each peer, its value and spread beside it."""

from xml.sax.saxutils import escape

from .peers import US

WIDTH, LABELS, VALUES = 760, 90, 150
BAR, GAP, PANEL_HEAD, PANEL_FOOT, TOP = 16, 5, 26, 14, 58
COLOURS = {US: "#c2410c", "raw": "#94a3b8", "floor": "#94a3b8"}
OTHERS = "#64748b"
STYLE = """
text { font: 12px system-ui, -apple-system, "DejaVu Sans", sans-serif; fill: #1e293b }
.title { font-size: 16px; font-weight: bold } .unit { fill: #64748b } .row { font-weight: bold }
.us { font-weight: bold; fill: #c2410c } .label { text-anchor: end }
"""


def bars(table):
    """The chart of a table."""
    rows = [row for row in table.rows if any(table.median(row, column) is not None for column in table.columns)]
    panels, y = [], TOP
    for row in rows:
        octets, height = panel(table, row, y)
        panels.append(octets)
        y += height
    better = "more is better" if table.higher_is_better else "less is better"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
        text(16, 26, table.title, "title"),
        text(16, 45, f"{table.unit}; {better}. Line: from the lowest to the highest run.", "unit"),
        *panels,
        "</svg>\n",
    ])


def panel(table, row, y):
    columns = [c for c in table.columns if table.median(row, c) is not None or table.failed(row, c)]
    most = max(table.spread(row, c)[1] for c in columns if table.median(row, c) is not None) or 1
    scale = (WIDTH - LABELS - VALUES) / most
    parts = [text(16, y + 16, row, "row")]
    line = y + PANEL_HEAD
    for column in columns:
        middle = line + BAR / 2
        parts.append(text(LABELS - 8, middle + 4, column, "label us" if column == US else "label"))
        if table.failed(row, column):
            parts.append(text(LABELS + 6, middle + 4, "fails", "unit"))
        else:
            median, (low, high) = table.median(row, column), table.spread(row, column)
            colour = COLOURS.get(column, OTHERS)
            width = max(median * scale, 1)
            parts.append(f'<rect x="{LABELS}" y="{line}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            left, right = LABELS + max(low, 0) * scale, LABELS + high * scale
            if right - left >= 1:
                parts.append(
                    f'<path d="M{left:.1f} {middle}H{right:.1f}" stroke="#0f172a" stroke-width="1.5" opacity="0.6"/>'
                )
            end = max(LABELS + width, right) + 8
            parts.append(text(end, middle + 4, table.number(median), "us" if column == US else ""))
        line += BAR + GAP
    return "\n".join(parts), line - y + PANEL_FOOT


def text(x, y, content, classes=""):
    classes = f' class="{classes}"' if classes else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{classes}>{escape(content)}</text>'
