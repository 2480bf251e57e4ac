"""The site, for `sphinx-build`: nothing is fetched, neither when it is built nor when it is read."""

import contextlib
import re
import sys
import tomllib
from pathlib import Path

import matplotlib.style
from docutils import nodes
from sphinx.pycode import ModuleAnalyzer

import jax_lstm

HERE = Path(__file__).parent
URLS = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"].get("urls", {})

project = "jax_lstm"
author = "The jax_lstm developers"
release = version = jax_lstm.__version__

extensions = ["myst_nb", "sphinx_copybutton", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_pictures"]
default_role = "code"

myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are committed with their outputs, which the tests compare
suppress_warnings = ["myst.header"]
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_use_type_comments = False
maximum_signature_line_length = 88
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "notes_style")]
add_module_names = False
python_display_short_literal_types = True

html_theme = "furo"
html_title = f"jax_lstm {release}"
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {}
if "Repository" in URLS:
    html_theme_options = {"source_repository": URLS["Repository"], "source_branch": "main", "source_directory": "docs/"}
pygments_style = "default"
pygments_dark_style = "github-dark"

SYNONYMS = {
    "guides/ragged": "variable length; variable-length sequences; lengths; padding; pad; mask; masking; ragged",
    "guides/recipes": "batch_first; batch first; unroll; merge_mode; mixed precision; bfloat16; float16; "
    "dropout; ensemble",
    "guides/streaming": "stateful; chunks; TBPTT; truncated backpropagation; online inference",
    "guides/training": "fit; validation; early stopping; patience; checkpoints; resume; TBPTT; optimizer; Optax",
    "guides/classification": "classification; classifier; sequence classification; many to one; many-to-one; "
    "bidirectional; cross-entropy",
    "guides/seq2seq": "seq2seq; sequence to sequence; encoder; decoder; teacher forcing; translation; many to many; "
    "many-to-many",
    "guides/from-torch": "PyTorch; torch; pack_padded_sequence; packed sequence; nn.LSTM; state_dict; Lightning",
    "guides/from-keras": "Keras; TensorFlow; tf.keras; return_sequences; Masking; h5",
    "guides/from-flax": "Flax; OptimizedLSTMCell; nnx; linen",
    "guides/export": "serving; deployment; jax.export; StableHLO; inference server",
    "guides/onnx": "ONNX; onnxruntime; serving; deployment",
    "guides/sharding": "multi-GPU; several GPUs; distributed; shard_map; data parallel; multi-host; all cores",
    "guides/schedules": "GPU; TPU; CUDA; cuDNN; Pallas; slow; speed; which schedule; checkpointed; out of memory; OOM",
    "guides/reinforcement-learning": "reinforcement learning; RL; PPO; episodes; resets; done flags",
    "guides/variants": "sLSTM; xLSTM; peephole; projection; layer normalization; heads; coupled gates; zoneout",
    "guides/forecasting": "forecast; forecast csv; time series; CSV; pandas; prediction intervals; "
    "ARIMA; Prophet; Theta",
    "guides/tables": "season; seasonality; holidays; Excel; Parquet; JSON; missing values; time zone; daylight saving",
    "guides/at-scale": "Spark; Ray; Dask; fugue; polars; many series",
    "guides/serve-a-model": "embedding; normalization; head; .pt",
    "guides/covariates": "covariates; exogenous; regressors; promotions; past covariates; future covariates",
    "install": "install; installation; pip; conda; CUDA; TPU; Windows; macOS; compiler; extras",
    "faq": "troubleshooting; error; NaN; slow first call; compilation; recompilation; GRU; freeze; fine-tuning; "
    "attention; reproducible; seed; random; last hidden state",
    "explanations/derivatives": "hessian; jvp; forward mode; second derivative; gradient",
    "explanations/semantics": "axes; time major; time first; forget bias; gate order",
}
"""Words that people search for, by the page that answers them: entries of the index, which the search ranks first."""


def add_synonyms(app, name, source):
    """An index entry for every synonym, below the title of its page."""
    if name in SYNONYMS:
        title, _, rest = source[0].partition("\n\n")
        while not title.splitlines()[-1].startswith("# "):  # comments precede the title
            more, _, rest = rest.partition("\n\n")
            title = f"{title}\n\n{more}"
        entries = "\n".join(f"   ! single: {word}" for word in SYNONYMS[name].split("; "))
        source[0] = f"{title}\n\n```{{eval-rst}}\n.. index::\n{entries}\n```\n\n{rest}"


def draw_pictures(app):
    """Run the code of the gallery, which draws the pictures in `_pictures`, for light and for dark pages."""
    page = (HERE / "gallery.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    for folder, style in (("_pictures", "default"), ("_pictures/dark", "dark_background")):
        (HERE / folder).mkdir(exist_ok=True)
        with contextlib.chdir(HERE / folder), matplotlib.style.context(style):
            matplotlib.rcParams["savefig.transparent"] = True
            exec(compile(code, "gallery.md", "exec"), {"__name__": "gallery"})


def add_dark_pictures(app, document):
    """For every picture that has a dark form, `name-dark.svg` or `dark/name.png`, a copy for dark pages."""
    folder = Path(app.env.doc2path(app.env.docname)).parent
    for image in list(document.findall(nodes.image)):
        path = Path(image["uri"])
        dark = [path.with_stem(f"{path.stem}-dark"), path.parent / "dark" / path.name]
        for one in dark:
            if (folder / one).is_file():
                twin = image.deepcopy()
                twin["uri"] = str(one)
                twin["classes"].append("only-dark")
                image["classes"].append("only-light")
                image.parent.insert(image.parent.index(image) + 1, twin)


def describe_data(app, what, name, value, options, lines):
    """The docstring below a constant in the module that defines it, instead of that of its type."""
    if what != "data":
        return
    package, _, constant = name.rpartition(".")
    for module in sorted(one for one in sys.modules if one.startswith(package)):
        comment = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", constant))
        if comment is not None:
            lines[:] = comment
            return


def split_raises(app, what, name, value, options, lines):
    """In the section of exceptions, each on a line of its own, as Napoleon reads them."""
    if "Raises:" not in lines:
        return
    start = lines.index("Raises:") + 1
    end = next((k for k in range(start, len(lines)) if lines[k] and not lines[k].startswith(" ")), len(lines))
    text = " ".join(line.strip() for line in lines[start:end])
    entries = re.split(r"(?<=\.) (?=(?:[A-Z]\w*(?:Error|Exception|Interrupt)(?:, )?)+:)", text)
    lines[start:end] = [*(f"    {entry.strip()}" for entry in entries if entry.strip()), ""]


def shorten_annotations(app, what, name, value, options, signature, returns):
    """`Array['time *batch features']` for an array with its axes."""

    def short(text):
        return text and re.sub(r"Annotated\[(\w+), ('[^']*')\]", r"\1[\2]", text)

    return short(signature), short(returns)


def setup(app):
    """What Sphinx calls."""
    app.connect("builder-inited", draw_pictures)
    app.connect("source-read", add_synonyms)
    app.connect("doctree-read", add_dark_pictures, priority=400)  # before the images are collected
    app.connect("autodoc-process-signature", shorten_annotations)
    app.connect("autodoc-process-docstring", describe_data)
    app.connect("autodoc-process-docstring", split_raises, priority=400)  # before Napoleon
