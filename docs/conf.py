"""Sphinx configuration; ``make docs`` builds with warnings as errors and without network access."""

import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _parameters import write_parameters
from _site import write_api_pages, write_cards, write_demo, write_markdown, write_models, write_rules

import structkit

HERE = Path(__file__).parent
os.environ.setdefault("MPLBACKEND", "Agg")

project = "structkit"
author = "The structkit developers"
project_copyright = author
release = structkit.__version__
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst", "gallery/**/*.ipynb", "generated/backreferences/*"]
root_doc = "index"
default_role = "py:obj"

# ---- API pages ------------------------------------------------------------------------------------------------------
autodoc_typehints = "none"  # the docstrings say the types, with shapes
autodoc_member_order = "groupwise"
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
numpydoc_validation_checks: set[str] = set()  # make lint validates

# ---- gallery --------------------------------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(__init__|demo_)",
    "subsection_order": ["../examples/gp", "../examples/kron", "*"],
    "within_subsection_order": "_site.ExampleOrder",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("structkit",),
    "reference_url": {"structkit": None},
    "inspect_global_variables": True,
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "thumbnail_size": (400, 300),
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "abort_on_example_error": False,
    "plot_gallery": "True",
    "min_reported_time": 20,
}
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive", category=UserWarning)

# ---- look -----------------------------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"structkit {version}"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "install": [], "benchmarks": [], "changelog": []}
html_theme_options = {
    "logo": {"text": "structkit", "alt_text": "structkit"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_prev_next": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "gallery/index": []},
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "default",
    "pygments_dark_style": "github-dark",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

write_api_pages(HERE / "generated" / "api")
# by name, because a second build would look for new names only in the pages that the first one knew
autosummary_generate = sorted(str(p.relative_to(HERE)) for p in (HERE / "generated" / "api").glob("*.rst"))
write_cards(HERE.parent / "examples", HERE / "generated" / "cards.inc")
write_demo(HERE / "_static" / "demo.png", HERE / "generated" / "demo.inc")
write_models(HERE.parent / "README.md", HERE / "generated" / "models.inc")
write_rules(HERE / "generated" / "rules.inc")
write_parameters(HERE / "generated" / "parameters.inc")
write_markdown(HERE.parent / "CHANGELOG.md", HERE / "generated" / "changelog.inc")
write_markdown(HERE.parent / "CONTRIBUTING.md", HERE / "generated" / "contributing.inc")
