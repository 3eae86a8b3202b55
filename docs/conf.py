"""The documentation site: Sphinx with MyST (the pages are Markdown, as GitHub shows them) and Furo. `make docs` builds it."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cacapp import __version__  # noqa: E402

project = "cacapp"
author = "The cacapp authors"
project_copyright = "The cacapp authors. Apache-2.0. Research use only"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference_pages"]
exclude_patterns = ["README.md", "examples/*"]
myst_enable_extensions = ["colon_fence", "attrs_block"]
myst_heading_anchors = 3
highlight_language = "none"  # commands: `export` of cacapp is no keyword of the shell
smartquotes = False  # --option stays --option

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "cacapp"
html_static_path = ["_static"]
html_css_files = ["cacapp.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "footer_icons": [],
    "light_css_variables": {"color-brand-primary": "#1f5fa8", "color-brand-content": "#1f5fa8"},
    "dark_css_variables": {"color-brand-primary": "#8ab8f0", "color-brand-content": "#8ab8f0"},
}
