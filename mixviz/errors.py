"""The one exception that is shown to a user as it stands."""


class MixvizError(Exception):
    """Something the user can mend; its message is one sentence that says what and how."""


def unknown(what: str, name: str, choices: object) -> MixvizError:
    """Return the error for a name that is not among `choices`."""
    listed = ", ".join(str(choice) for choice in sorted(choices))  # type: ignore[call-overload]
    return MixvizError(f"There is no {what} {name!r}; choose one of: {listed}.")
