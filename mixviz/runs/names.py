"""Names that a user gave to the components of a run, kept in the run's folder."""

import json
from collections.abc import Mapping
from pathlib import Path

from mixviz.runs.files import write_atomically
from mixviz.runs.records import in_one_line
from mixviz.runs.store import RunStore

FILE = "names.json"
LONGEST = 60  # characters
_MOST_BYTES = 1_000_000


def given_names(store: RunStore, run: str) -> dict[int, str]:
    """Return the names that were given, by component; none if the file is missing or damaged."""
    path = store.folder(run) / FILE
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        return checked(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def checked(stored: object) -> dict[int, str]:
    """Return names from JSON; raise `ValueError` if it is something else."""
    if not isinstance(stored, Mapping):
        raise ValueError("not a table of names")
    names = {}
    for component, name in stored.items():
        if not (isinstance(component, str) and component.isdecimal() and len(component) < 5):
            raise ValueError("not the number of a component")
        if not isinstance(name, str) or not name or name != tidy(name):
            raise ValueError("not a name")
        names[int(component)] = name
    return names


def tidy(name: str) -> str:
    """Return a name as it is kept, of at most 60 characters."""
    return in_one_line(name, LONGEST)


def component_names(store: RunStore, run: str, components: int) -> list[str]:
    """Call all K components by their numbers, with their names where they have any.

    The number stays: one may well call component 3 "seven", or two components alike.
    """
    given = given_names(store, run)
    return [f"{k} · {given[k]}" if k in given else str(k) for k in range(components)]


def name_component(store: RunStore, run: str, component: int, name: str) -> None:
    """Give a component a name, or take it away with an empty one."""
    names, name = given_names(store, run), tidy(name)
    names.pop(component, None)
    if name:
        names[component] = name
    write(store.folder(run), names)


def as_json(names: Mapping[int, str]) -> dict[str, str]:
    """Return names as JSON has them, in the order of the components."""
    return {str(k): names[k] for k in sorted(names)}


def write(folder: Path, names: Mapping[int, str]) -> None:
    """Keep names in a run's folder; without any there is no file."""
    content = json.dumps(as_json(names), ensure_ascii=False).encode()
    if names:
        write_atomically(folder / FILE, lambda file: file.write(content))
    else:
        (folder / FILE).unlink(missing_ok=True)
