"""Data sets: everything becomes one `Dataset`, fetched by name with `load`."""

from mixviz.data.dataset import Dataset, labelled_subset, part
from mixviz.data.sources import SOURCES, Source, load, source

__all__ = ["SOURCES", "Dataset", "Source", "labelled_subset", "load", "part", "source"]
