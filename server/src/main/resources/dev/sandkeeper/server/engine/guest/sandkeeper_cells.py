"""What a Python cell can do beyond Python: lines for the shell, and values that show themselves.

The Python context loads it before the first cell. Values are asked for their MIME bundles as notebooks
ask them, by `_repr_mimebundle_` and `_repr_*_`; figures of matplotlib and data frames have data beside
their pictures. What a value answers is the user's code, and whatever goes wrong in it drops that type
alone. Standard library only, Python 3.9 or newer; what not every cell needs is imported where it is, as this
is loaded for each context.
"""

import math
import sys
import warnings

CHART = "application/vnd.sandkeeper.chart.v1+json"
TABLE = "application/vnd.sandkeeper.table.v1+json"
METHODS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_json_": "application/json",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_pdf_": "application/pdf",
}
# Of these a text is base64, as in notebooks.
BINARY = ("image/png", "image/jpeg", "application/pdf")

# A bundle of all its types, which has to fit a frame; the engine lets a cell send more of them.
MAX_BUNDLE_BYTES = 1000 * 1000
MAX_CELL_BYTES = 8 * 1024 * 1024
MAX_BUNDLES = 64
MAX_TYPES = 16
MAX_TYPE_CHARS = 128
MAX_ROWS, MAX_COLUMNS = 1000, 100
MAX_CELL_CHARS = 1000
MAX_SERIES, MAX_POINTS = 100, 5000


# --- Lines for the shell -----------------------------------------------------------------------


def parse(source, name, ast):
    """Parses a cell in which lines may be `!command` or `%pip arguments`.

    A line is one of these only where Python finds an error in it, so what looks like one within a text or
    an expression is left alone.
    """
    lines = None
    while True:
        try:
            return ast.parse(source if lines is None else "".join(lines), name)
        except SyntaxError as error:
            if lines is None:
                lines = source.splitlines(True)
            at = (error.lineno or 0) - 1
            call = shell_call(lines[at]) if 0 <= at < len(lines) else None
            if call is None:
                raise
            lines[at] = call


def shell_call(line):
    """Returns the Python for a line that is for the shell, None for any other."""
    text = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    if text.startswith("!") and len(text) > 1:
        return "%s__cell__.shell(%r)\n" % (indent, text[1:].strip())
    if text == "%pip" or text.startswith("%pip "):
        return "%s__cell__.pip(%r)\n" % (indent, text[4:].strip())
    return None


class Tools:
    """What a cell's rewritten lines call, and `display`."""

    def __init__(self, namespace, send, cut):
        self.namespace = namespace
        # Takes a bundle's types and bytes in turn.
        self.send = send
        # Bounds a text.
        self.cut = cut
        # `show` of pyplot says so; what it should show is shown at the cell's end.
        warnings.filterwarnings("ignore", ".*(non-GUI backend|is non-interactive)", UserWarning)
        self.begin()

    def begin(self):
        """A cell begins."""
        self.bytes = self.bundles = 0
        self.told = False
        self.namespace["__cell__"] = self

    def shell(self, line):
        """Runs a line in the shell; its exit code is left in `_exit_code`."""
        self.run(["/bin/bash", "-c", line])

    def pip(self, line):
        """Runs pip for this interpreter, into the user's own folder."""
        options = "PIP_USER=1 PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1"
        self.run(["/bin/bash", "-c", '%s exec "$0" -m pip %s' % (options, line), sys.executable])
        sys.path_importer_cache.clear()

    def run(self, argv):
        import subprocess

        sys.stdout.flush()
        self.namespace["_exit_code"] = subprocess.run(argv, check=False).returncode

    def display(self, *values):
        """Shows values, each as a result of its own."""
        for value in values:
            self.show(value)

    def show(self, value):
        parts = bundle(value, self.cut)
        size = sum(len(data) for _, data in parts)
        self.bundles += 1
        self.bytes += size
        if self.bundles > MAX_BUNDLES or self.bytes > MAX_CELL_BYTES:
            if not self.told:
                sys.stderr.write(
                    "Results are left out: one cell has at most %d, of %d bytes together.\n"
                    % (MAX_BUNDLES, MAX_CELL_BYTES)
                )
            self.told = True
            return
        sys.stdout.flush()
        sys.stderr.flush()
        self.send([field for kind, data in parts for field in (kind.encode(), data)])

    def show_figures(self):
        """Shows the figures that matplotlib has open, and closes them."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            for number in pyplot.get_fignums():
                self.show(pyplot.figure(number))
            pyplot.close("all")


# --- Bundles -----------------------------------------------------------------------------------


def bundle(value, cut):
    """Returns pairs of MIME type and bytes, text first; types for which there is no room are left out."""
    text = cut(repr(value)).encode("utf-8", "backslashreplace")
    parts, room = [("text/plain", text)], MAX_BUNDLE_BYTES - len(text)
    for kind, data in representations(value):
        if kind == "text/plain" or len(parts) >= MAX_TYPES:
            continue
        if len(data) > room:
            sys.stderr.write(
                "%s is left out of a result: it has %d bytes, and there is room for %d.\n"
                % (kind, len(data), room)
            )
            continue
        room -= len(data)
        parts.append((kind, data))
    return parts


def representations(value):
    """Yields MIME types with their bytes, each type once."""
    seen = set()
    for source in (declared, by_methods, table, picture, charts):
        try:
            found = dict(source(value))
        except Exception:
            continue
        for kind, data in found.items():
            try:
                kind, encoded = str(kind), encode(str(kind), data)
            except Exception:
                continue
            if kind not in seen and "/" in kind and len(kind) <= MAX_TYPE_CHARS:
                seen.add(kind)
                yield kind, encoded


def encode(kind, data):
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    if isinstance(data, str):
        if kind not in BINARY:
            return data.encode("utf-8", "replace")
        import base64

        return base64.b64decode(data)
    import json

    return json.dumps(data, default=str).encode("utf-8", "replace")


def method(value, name):
    """A method of the value's class; a class itself has none for its instances to be shown by."""
    if isinstance(value, type):
        return None
    found = getattr(value, name, None)
    return found if callable(found) else None


def declared(value):
    show = method(value, "_repr_mimebundle_")
    answer = show(include=None, exclude=None) if show else {}
    # With metadata behind it, or without.
    return (answer[0] if isinstance(answer, tuple) else answer) or {}


def by_methods(value):
    for name, kind in METHODS.items():
        show = method(value, name)
        if show is None:
            continue
        try:
            answer = show()
        except Exception:
            continue
        if isinstance(answer, tuple):
            answer = answer[0]
        if answer is not None:
            yield kind, answer


def plain(value):
    """Returns a value as JSON has it: a number, a text, true, false or null."""
    if hasattr(value, "item") and callable(value.item):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)[:MAX_CELL_CHARS]


# --- Data frames -------------------------------------------------------------------------------


def table(value):
    """Yields a data frame's first rows and columns; one is known by what pandas gives it."""
    kind = type(value)
    if kind.__name__ != "DataFrame" or not all(
        hasattr(value, name) for name in ("columns", "dtypes", "shape", "itertuples")
    ):
        return
    rows, columns = value.shape
    names = [str(name)[:MAX_CELL_CHARS] for name in list(value.columns)[:MAX_COLUMNS]]
    types = [str(dtype) for dtype in list(value.dtypes)[:MAX_COLUMNS]]
    index, cells = [], []
    for number, row in enumerate(value.itertuples()):
        if number == MAX_ROWS:
            break
        index.append(plain(row[0]))
        cells.append([plain(cell) for cell in row[1 : MAX_COLUMNS + 1]])
    yield TABLE, {
        "columns": [{"name": name, "type": dtype} for name, dtype in zip(names, types)],
        "index": index,
        "rows": cells,
        "row_count": int(rows),
        "column_count": int(columns),
    }


# --- Figures -----------------------------------------------------------------------------------


def is_figure(value):
    return type(value).__module__.startswith("matplotlib.") and hasattr(value, "savefig")


def picture(value):
    if is_figure(value):
        import io

        file = io.BytesIO()
        value.savefig(file, format="png", bbox_inches="tight")
        yield "image/png", file.getvalue()


def charts(value):
    if is_figure(value):
        yield CHART, {"charts": [chart(axes) for axes in value.axes]}


def chart(axes):
    """Returns what is drawn in a pair of axes: its type is that of its first series that has one."""
    series = [one for find in (pies, bars, boxes, points, lines) for one in find(axes)]
    kinds = [one.pop("type") for one in series]
    return {
        "type": kinds[0] if kinds else "unknown",
        "title": axes.get_title(),
        "axes": {
            name: {
                "label": getattr(axes, "get_%slabel" % name)(),
                "scale": getattr(axes, "get_%sscale" % name)(),
            }
            for name in ("x", "y")
        },
        "series": series[:MAX_SERIES],
    }


def label(artist):
    """A name given by the user; matplotlib's own begin with an underscore."""
    text = str(artist.get_label())
    return "" if text.startswith("_") else text


def pairs(xs, ys):
    return [[plain(x), plain(y)] for x, y in zip(list(xs)[:MAX_POINTS], list(ys)[:MAX_POINTS])]


def pies(axes):
    wedges = [patch for patch in axes.patches if type(patch).__name__ == "Wedge"]
    if wedges:
        yield {
            "type": "pie",
            "label": "",
            "points": [
                [str(wedge.get_label()), plain((wedge.theta2 - wedge.theta1) / 360)]
                for wedge in wedges[:MAX_POINTS]
            ],
        }


def bars(axes):
    for container in axes.containers:
        if type(container).__name__ != "BarContainer":
            continue
        flat = container.orientation == "horizontal"
        axis = axes.yaxis if flat else axes.xaxis
        names = {
            plain(at): text.get_text()
            for at, text in zip(axis.get_ticklocs(), axis.get_ticklabels())
            if is_category(axis)
        }
        points = []
        for patch in container.patches[:MAX_POINTS]:
            at = patch.get_y() + patch.get_height() / 2 if flat else patch.get_x() + patch.get_width() / 2
            at = round(plain(at), 9)
            points.append([names.get(at, at), plain(patch.get_width() if flat else patch.get_height())])
        yield {"type": "bar", "label": label(container), "points": points}


def is_category(axis):
    return "Category" in type(axis.get_major_formatter()).__name__


def is_box(line):
    """A box is a closed rectangle: five points, the last the first."""
    xs, ys = list(line.get_xdata()), list(line.get_ydata())
    return (
        len(xs) == 5
        and (xs[0], ys[0]) == (xs[4], ys[4])
        and len(set(map(float, xs))) == 2
        and len(set(map(float, ys))) == 2
    )


def boxes(axes):
    """Yields upright boxes with what belongs to each: whiskers, median and outliers, by where they are."""
    for box in axes.lines:
        if not is_box(box):
            continue
        left, right = min(box.get_xdata()), max(box.get_xdata())
        low, high = min(box.get_ydata()), max(box.get_ydata())
        values = {"min": low, "first_quartile": low, "third_quartile": high, "max": high}
        values["median"], outliers = None, []
        for line in axes.lines:
            xs, ys = list(line.get_xdata()), list(line.get_ydata())
            if line is box or not xs or min(xs) < left or max(xs) > right:
                continue
            if line.get_linestyle() == "None" and len(set(map(float, xs))) == 1:
                outliers += ys
            elif len(xs) == 2 and xs[0] == xs[1]:
                values["min"] = min(values["min"], *ys)
                values["max"] = max(values["max"], *ys)
            elif len(xs) == 2 and ys[0] == ys[1] and low <= ys[0] <= high and max(xs) == right:
                values["median"] = ys[0]
        yield {
            "type": "box",
            "label": category(axes, (left + right) / 2),
            "box": {name: plain(value) for name, value in values.items()},
            "outliers": [plain(value) for value in outliers[:MAX_POINTS]],
        }


def category(axes, at):
    for place, text in zip(axes.get_xticks(), axes.get_xticklabels()):
        if abs(place - at) < 1e-9:
            return text.get_text()
    return ""


def points(axes):
    for collection in axes.collections:
        if type(collection).__name__ == "PathCollection":
            places = collection.get_offsets()
            xs, ys = [place[0] for place in places], [place[1] for place in places]
            yield {"type": "scatter", "label": label(collection), "points": pairs(xs, ys)}


def lines(axes):
    if any(is_box(line) for line in axes.lines):
        return
    for line in axes.lines:
        yield {
            "type": "line",
            "label": label(line),
            "points": pairs(line.get_xdata(), line.get_ydata()),
        }
