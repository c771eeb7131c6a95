import pytest

from tests.app.driver import served


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store that the pages use."""
    with served(tmp_path / "home", monkeypatch) as opened:
        yield opened
