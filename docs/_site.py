"""Pages that are made from the package: API pages from every ``__all__``, the changelog from CHANGELOG.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from textwrap import indent

import structkit

ORDER = ("kron", "orthogonal", "statespace", "gp", "pde", "tucker", "sbl", "dictionary", "interop", "plotting")
ORDER += ("datasets", "io")

# Files that share a heading on the page of their subpackage; others get the first line of their own docstring.
SECTIONS = {
    "structkit.kron.products": "Products",
    "structkit.kron.plan": "Products",
    "structkit.kron.dense": "Products",
    "structkit.kron.solvers": "Solving, determinants, factorisations of a list of factors",
    "structkit.kron.decompositions": "Solving, determinants, factorisations of a list of factors",
    "structkit.kron.layout": "Tensors",
    "structkit.kron.tensor": "Tensors",
    "structkit.kron.khatri_rao": "Tensors",
    "structkit.kron.entries": "Values and gradients at scattered entries",
    "structkit.kron.tucker_entries": "Values and gradients at scattered entries",
    "structkit.kron.tucker_sparse": "Values and gradients at scattered entries",
    "structkit.kron.operators": "Operators",
    "structkit.kron.functions": "Functions of operators",
    "structkit.kron.systems": "Functions of operators",
    "structkit.kron.rules": "Functions of operators",
    "structkit.kron.iterative": "Iterative and stochastic methods",
    "structkit.kron.stochastic": "Iterative and stochastic methods",
    "structkit.kron.evidence": "Gaussian evidence",
    "structkit.gp.gridgp": "Regression on grids",
    "structkit.gp.covariance": "Regression on grids",
    "structkit.gp.kernels": "Kernels",
    "structkit.statespace.sde": "Models",
    "structkit.statespace.models": "Models",
    "structkit.statespace.transitions": "Transitions",
    "structkit.statespace.filtering": "Filter, smoother, interpolation",
    "structkit.statespace.observations": "Filter, smoother, interpolation",
    "structkit.statespace.likelihood": "Log likelihood",
    "structkit.statespace.sampling": "Draws",
    "structkit.plotting.curves": "Pictures",
    "structkit.plotting.grids": "Pictures",
    "structkit.plotting.dictionary": "Pictures",
    "structkit.plotting.tensors": "Pictures",
    "structkit.plotting.pde": "Pictures",
    "structkit.orthogonal.polar": "Nearest orthogonal matrices",
    "structkit.dictionary.model": "Dictionaries",
    "structkit.dictionary.metrics": "Metrics",
    "structkit.sbl.model": "Kronecker-structured models",
    "structkit.sbl.separable": "Kronecker-structured models",
    "structkit.sbl.offgrid": "Kronecker-structured models",
    "structkit.sbl.base": "Kronecker-structured models",
    "structkit.sbl.evidence": "Evidence and posterior",
    "structkit.sbl.classic": "Baselines",
    "structkit.sbl.greedy": "Baselines",
    "structkit.sbl.pursuit": "Baselines",
    "structkit.sbl.channel": "Channels and metrics",
    "structkit.sbl.metrics": "Channels and metrics",
    "structkit.plotting.sparse": "Pictures",
    "structkit.gp.gpytorch_adapter": "Kernels of gpytorch",
    "structkit.gp.gpytorch_convert": "Kernels of gpytorch",
}


# Examples of the gallery in the order of a first reading; new ones follow by name.
EXAMPLES = ("plot_grid_regression", "plot_missing_cells", "plot_free_covariance", "plot_hyperspectral")
EXAMPLES += ("plot_gpytorch_kernels", "plot_uncertainty_checks", "plot_kernels")
EXAMPLES += ("plot_trend_and_season", "plot_many_points")
EXAMPLES += ("plot_high_frequency", "plot_waves_and_heat", "plot_nonlinear", "plot_three_dimensions")
EXAMPLES += ("plot_noisy_sensors", "plot_unknown_wavenumber")
EXAMPLES += ("plot_beijing", "plot_known_functions", "plot_unseen_coordinates", "plot_tensorly", "plot_outliers")
EXAMPLES += ("plot_streaming",)
EXAMPLES += (
    "plot_products",
    "plot_operators",
    "plot_solve",
    "plot_masked_grid",
    "plot_entries",
    "plot_torch_gradients",
)
EXAMPLES += ("plot_streaming_recovery", "plot_image_patches", "plot_drift", "plot_stream_outliers")
EXAMPLES += ("plot_xarray", "plot_model_search", "plot_gpytorch_model", "plot_tensorly_backend")
LANDING = ("plot_hyperspectral", "plot_missing_cells", "plot_high_frequency", "plot_beijing", "plot_billion_unknowns")
LANDING += ("plot_streaming_recovery", "plot_trend_and_season", "plot_nonlinear", "plot_products")


class ExampleOrder:
    """Key by which sphinx-gallery sorts the examples of one topic."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, filename: str) -> tuple[int, str]:
        name = Path(filename).stem
        return EXAMPLES.index(name) if name in EXAMPLES else len(EXAMPLES), name


def write(path: Path, text: str) -> None:
    """Write only what changed, so that a second build reads nothing again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def _table(module: str, names: list[str]) -> str:
    entries = "\n".join(f"   {name}" for name in names)
    return f".. autosummary::\n   :toctree: ../reference\n   :nosignatures:\n\n{entries}\n"


def _first_line(thing: object) -> str:
    doc = inspect.getdoc(thing) or ""
    return doc.splitlines()[0] if doc else ""


def _section(home: str) -> str:
    """Heading under which the names of one file are listed."""
    for prefix, title in SECTIONS.items():
        if home == prefix or home.startswith(f"{prefix}."):
            return title
    return _first_line(importlib.import_module(home)).rstrip(".") if home else "Constants"


def _groups(module_name: str) -> list[tuple[str, list[str]]]:
    """Public names by section; sections in the order of SECTIONS, then by file."""
    module = importlib.import_module(module_name)
    groups: dict[tuple[int, str], list[str]] = {}
    titles = list(dict.fromkeys(SECTIONS.values()))
    for name in sorted(module.__all__, key=lambda n: (n.islower(), n.lower())):
        thing = getattr(module, name)
        if inspect.ismodule(thing):
            continue
        known = inspect.isclass(thing) or inspect.isroutine(thing)
        home = getattr(thing, "__module__", "") if known else ""
        title = _section(home if home.startswith("structkit") else "")
        groups.setdefault((titles.index(title) if title in titles else len(titles), title), []).append(name)
    return [(title, groups[rank, title]) for rank, title in sorted(groups)]


def _page(module_name: str) -> str:
    module = importlib.import_module(module_name)
    parts = [f".. Made from {module_name}.__all__\n", _title(module_name), f".. currentmodule:: {module_name}\n"]
    parts.append((inspect.getdoc(module) or "") + "\n")
    groups = _groups(module_name)
    for title, names in groups:
        parts += [f"**{title}**\n" if len(groups) > 1 else "", _table(module_name, names)]
    return "\n".join(parts)


def write_api_pages(folder: Path) -> None:
    """One page per public subpackage, one for the names of the top level, and an index."""
    existing = {m.name for m in pkgutil.iter_modules(structkit.__path__)}
    modules = [name for name in ORDER if name in existing]
    modules = [name for name in modules if getattr(importlib.import_module(f"structkit.{name}"), "__all__", [])]
    for name in modules:
        write(folder / f"{name}.rst", _page(f"structkit.{name}"))
    errors = [n for n in structkit.__all__ if n.endswith(("Error", "Warning"))]
    top = [_title("Errors and warnings"), ".. currentmodule:: structkit\n"]
    top += ["All of them are importable from ``structkit``; see :doc:`/guide/errors`.\n", _table("structkit", errors)]
    write(folder / "errors.rst", "\n".join(top))
    public = {f"structkit.{name}" for name in errors}
    for name in modules:
        public |= {f"structkit.{name}.{n}" for n in importlib.import_module(f"structkit.{name}").__all__}
    for stub in folder.parent.glob("reference/*.rst"):  # names that are gone since the last build
        if stub.stem not in public:
            stub.unlink()
    toc = "\n".join(f"   {name}" for name in [*modules, "errors"])
    lines = [
        f"* - :doc:`structkit.{n} <{n}>`\n     - {_first_line(importlib.import_module(f'structkit.{n}'))}"
        for n in modules
    ]
    table = ".. list-table::\n   :widths: 25 75\n\n   " + "\n   ".join(lines)
    intro = "Every public name, one page per subpackage."
    write(folder / "index.rst", f"{_title('API')}\n{intro}\n\n{table}\n\n.. toctree::\n   :hidden:\n\n{toc}\n")


def write_rules(target: Path) -> None:
    """Which operator has a rule of its own for which function, read from the tables of rules themselves."""
    import structkit.kron as kron
    from structkit.kron.rules import tables

    functions = {"solve": tables.INVERSE, "slogdet": tables.SLOGDET, "eigh": tables.EIGH, "svd": tables.SVD}
    functions |= {"cholesky": tables.CHOLESKY, "sqrtm": tables.SQRTM, "lstsq": tables.PINV}
    base = kron.LinearOperator
    lines = [".. list-table::", "   :header-rows: 1", "   :class: benchmark", "", "   * - operator"]
    lines += [f"     - `{name} <structkit.kron.{name}>`" for name in functions]
    for name in sorted(kron.__all__):
        cls = getattr(kron, name)
        if not inspect.isclass(cls) or not issubclass(cls, base) or cls is base:
            continue
        own = [rules.lookup(cls) is not rules.lookup(base) for rules in functions.values()]
        if any(own):
            lines += [
                f"   * - `{name} <structkit.kron.{name}>`",
                *(f"     - {'●' if has else ''}".rstrip() for has in own),
            ]
    write(target, "\n".join(lines) + "\n")


def write_cards(examples: Path, target: Path) -> None:
    """Thumbnails of the landing page, titled by the examples' own first lines."""
    scripts = {p.stem: p for p in examples.glob("*/plot_*.py")}
    lines = [".. grid:: 1 2 3 3", "   :gutter: 3", "   :margin: 4 3 0 0", ""]
    for script in (scripts[name] for name in LANDING):
        doc = inspect.cleandoc(ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "")
        title, _, promise = (part.strip() for part in doc.partition("\n"))
        promise = promise.lstrip("=- \n").split("\n\n")[0].replace("\n", " ")
        topic = script.parent.name
        lines += [
            f"   .. grid-item-card:: {title}",
            f"      :img-top: gallery/{topic}/images/thumb/sphx_glr_{script.stem}_thumb.png",
            f"      :link: gallery/{topic}/{script.stem}",
            "      :link-type: doc",
            "",
            f"      {promise}",
            "",
        ]
    write(target, "\n".join(lines) + "\n")


def write_demo(picture: Path, target: Path) -> None:
    """The picture that ``make demo`` draws, where the source tree has it."""
    lines = [
        f".. figure:: _static/{picture.name}",
        "   :alt: A hyperspectral image: truth, what was observed, what was filled in, and its uncertainty",
        "   :align: center",
        "",
        "   ``make demo``: a hyperspectral image of 4.2 million cells, blocks of them hidden, filled in.",
    ]
    write(target, "\n".join(lines) + "\n" if picture.exists() else "")


def write_models(readme: Path, target: Path) -> None:
    """Lines of code and the picture of each model, as the README shows them, one tab each."""
    text = readme.read_text(encoding="utf-8")
    section = re.search(r"^## Five lines each\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    if section is None:
        raise ValueError(f"{readme} has no section 'Five lines each'.")
    lines = [".. tab-set::", ""]
    for title, body in re.findall(r"^\*\*([^*]+)\*\*(.*?)(?=^\*\*|\Z)", section[1], re.MULTILINE | re.DOTALL):
        body = re.sub(r"`([^`\n]+)`", r"``\1``", body)
        body = re.sub(r'<img src="docs/([^"]+)" [^>]*alt="([^"]+)">', r".. image:: \1\n   :alt: \2", body)
        body = re.sub(
            r"```python\n(.*?)```", lambda m: f".. code-block:: python\n\n{indent(m[1], '   ')}", body, flags=re.S
        )
        package = re.search(r"from structkit\.(\w+) import", body)
        lines += [
            f"   .. tab-item:: {package[1] if package else title}",
            "",
            indent(f"**{title}**{body}", "      ").rstrip(),
            "",
        ]
    write(target, "\n".join(lines) + "\n")


def write_markdown(source: Path, target: Path) -> None:
    """Turn the Markdown of a page (headings, lists, code, links) into reStructuredText, without its title."""
    text = source.read_text(encoding="utf-8")
    text = re.sub(r"\A# .*\n", "", text)
    text = re.sub(r"`([^`\n]+)`", r"``\1``", text)
    text = re.sub(r"\[([^\]]+)\]\((http[^)]+)\)", r"`\1 <\2>`__", text)
    text = re.sub(r"^## (.*)$", lambda m: _title(m[1].strip("[]"), "-").rstrip(), text, flags=re.MULTILINE)
    text = re.sub(r"^### (.*)$", r"**\1**", text, flags=re.MULTILINE)
    write(target, text)
