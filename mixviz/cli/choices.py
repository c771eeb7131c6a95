"""Commands about what there is to choose from: presets, settings, data sets."""

import argparse

from mixviz.cli.terminal import share_bar


def presets(options: argparse.Namespace) -> int:
    """List the presets."""
    from mixviz.models import presets

    rows = [(name, model, found.dataset, found.title) for name, (model, found) in presets().items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def settings(options: argparse.Namespace) -> int:
    """List the settings of a model and of a run."""
    from mixviz.models import extra, model_class
    from mixviz.models.config import allowed_values
    from mixviz.training.config import RunConfig

    for config in (model_class(options.model).Config, RunConfig):
        for name, field in config.model_fields.items():
            notes = extra(config, name)
            marks = ["live"] if notes.get("live") else []
            marks += [allowed] if (allowed := allowed_values(config, name)) else []
            marks += [f"paper: {notes['paper']}"] if notes.get("paper") else []
            suffix = f" [{'; '.join(marks)}]" if marks else ""
            default = "none" if field.default is None else field.default
            print(f"{name}={default}  {field.description}{suffix}")
    return 0


def datasets(options: argparse.Namespace) -> int:
    """List the data sets."""
    from mixviz.data import SOURCES

    for item in SOURCES.values():
        print(f"{item.name:<22}  {item.missing or 'ready'}")
    return 0


def add(options: argparse.Namespace) -> int:
    """Make a data set of a file or folder."""
    from mixviz.data.own import add_file, own_sets
    from mixviz.data.own_prepare import Options

    chosen = Options(
        columns=None if options.columns is None else tuple(options.columns.split(",")),
        label=options.label,
        scaling=options.scaling,
        side=options.size,
        colour=options.colour,
        fit=options.fit,
        folders=not options.no_folders,
        headed=options.header,
    )
    before = own_sets()
    with share_bar() as report:
        added = add_file(options.path, chosen, options.name, report=report)
    if options.json:
        print(added.model_dump_json())
        return 0
    size = "x".join(map(str, added.shape))
    print(f"{added.name}  {added.size:,} observations of shape {size}")
    if added.name in before:
        print("kept     already, with just this content; nothing was added")
    if added.columns:
        print(f"columns  {len(added.columns)}: {', '.join(added.columns[:10])}")
    if added.labelled:
        print(f"labels   {len(added.label_names)}: {', '.join(added.label_names[:10])}")
    print(f"scaling  {added.scaling}")
    for dropped in added.dropped:
        print(f"dropped  {dropped}")
    print(f"next     mixviz cluster {added.name}")
    return 0


def download(options: argparse.Namespace) -> int:
    """Fetch a data set, or compute features."""
    from mixviz.data import source

    source(options.dataset).download()
    return 0
