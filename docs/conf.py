"""How Sphinx builds these pages: `make docs`."""

project = "Together operator"
author = "The Together operator's authors"
copyright = "The Together operator's authors"  # noqa: A001 - Sphinx's name for it
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = project
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
exclude_patterns = ["_build"]
# A link that leads nowhere is an error (`-W`), whether to a page or to a heading.
nitpicky = True
suppress_warnings = ["misc.highlighting_failure"]
