"""The site, for `sphinx-build`: nothing is fetched, neither when it is built nor when it is read."""

import contextlib
import re
import sys
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

import jax_lstm

project = "jax_lstm"
author = "The jax_lstm developers"
release = version = jax_lstm.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_pictures"]
default_role = "code"

myst_heading_anchors = 3
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_use_type_comments = False
maximum_signature_line_length = 88
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "notes_style")]
add_module_names = False
python_display_short_literal_types = True

html_theme = "furo"
html_title = f"jax_lstm {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
pygments_style = "tango"
pygments_dark_style = "github-dark"


def draw_pictures(app):
    """Run the code of the gallery, which draws the pictures beside it."""
    folder = Path(app.srcdir, "_pictures")
    folder.mkdir(exist_ok=True)
    page = Path(app.srcdir, "gallery.md").read_text("utf-8")
    names = {"__name__": "gallery"}
    with contextlib.chdir(folder):
        for code in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
            exec(compile(code, "gallery.md", "exec"), names)


def describe_data(app, what, name, value, options, lines):
    """What stands below a constant in the module that defines it, in place of the docstring of its type."""
    if what != "data":
        return
    package, _, constant = name.rpartition(".")
    for module in sorted(one for one in sys.modules if one.startswith(package)):
        comment = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", constant))
        if comment is not None:
            lines[:] = comment
            return


def setup(app):
    """What Sphinx calls."""
    app.connect("builder-inited", draw_pictures)
    app.connect("autodoc-process-docstring", describe_data)
