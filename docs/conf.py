"""Sphinx settings: Markdown pages, docstrings, formulas."""

import heatrd

project = "heatrd"
author = "The heatrd developers"
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
exclude_patterns = ["_build"]
math_numfig = True
numfig = True
math_eqref_format = "({number})"

html_theme = "furo"
html_title = "heatrd"
html_static_path = ["_static"]
