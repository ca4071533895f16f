"""Sphinx settings: Markdown pages, docstrings, formulas."""

import configparser
from pathlib import Path

import heatrd

project = "heatrd"
author = copyright = "The heatrd developers"
version = release = heatrd.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

suppress_warnings = ["ref.python"]  # energy, entropy, ... are attributes of several results
exclude_patterns = ["_build", "_tables"]
math_numfig = True
numfig = True
math_eqref_format = "({number})"

html_theme = "furo"
html_title = "heatrd"
html_static_path = ["_static"]
html_css_files = ["custom.css"]


def draw_layers(app):
    """Draw the layers of import-linter's contract, in setup.cfg, as a diagram: imports point down."""
    contract = configparser.ConfigParser()
    contract.read(Path(app.srcdir).parent / "setup.cfg")
    layers = contract["importlinter:contract:layers"]["layers"].split("\n")
    rows = [[name.strip().removeprefix("heatrd.") for name in row.split("|")] for row in layers if row.strip()]
    width, height, gap = 560, 26, 8
    boxes = []
    for i, row in enumerate(rows):
        each = (width - gap * (len(row) - 1)) / len(row)
        for k, name in enumerate(row):
            x, y = k * (each + gap), i * (height + gap)
            boxes.append(
                f'<rect x="{x + 1:.1f}" y="{y + 1}" width="{each - 2:.1f}" height="{height}" rx="4" fill="#e8eef7" '
                f'stroke="#1F5FA8"/><text x="{x + each / 2:.1f}" y="{y + 18}" text-anchor="middle">{name}</text>'
            )
    total = len(rows) * (height + gap)
    arrow = f'<path d="M580 4 V{total - 14} m-5 -8 l5 8 l5 -8" fill="none" stroke="#C8502D" stroke-width="2"/>'
    label = f'<text x="590" y="{total / 2}" fill="#C8502D">imports</text>'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 {total}" font-family="sans-serif" font-size="13" '
        f'fill="#222222">{"".join(boxes)}{arrow}{label}</svg>'
    )
    target = Path(app.srcdir) / "_static" / "layers.svg"
    if not target.exists() or target.read_text() != svg:
        target.write_text(svg)


def split_attributes(app, what, name, obj, options, lines):
    """Write ``a, b : type`` of an Attributes section once for each name, which napoleon does not do.

    It also takes what stands before the colon in a property's first line for a type.
    """
    if what in ("property", "attribute") and lines:
        lines[0] = lines[0].replace(": ", " – ")
    if "Attributes" not in lines:
        return
    out, at = [], lines.index("Attributes") + 2
    rest = lines[at:]
    while rest:
        line = rest.pop(0)
        names, colon, kind = line.partition(" : ")
        if not colon or line.startswith(" ") or ", " not in names:
            out.append(line)
            continue
        text = []
        while rest and (rest[0].startswith(" ") or not rest[0]):
            text.append(rest.pop(0))
        for each in names.split(", "):
            out += [f"{each} : {kind}", *text]
    lines[at:] = out


def setup(app):
    app.connect("builder-inited", draw_layers)
    app.connect("autodoc-process-docstring", split_attributes, priority=100)
