"""Results that are kept from one run to the next, whenever the first one is killed."""

import json
from pathlib import Path
from typing import Any

from slowfast.utils.io import json_text


class StateFile:
    """Values by key, a JSON line each; the last line of a key counts, one cut short does not."""

    def __init__(self, path: str | Path):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.values: dict[str, Any] = {}
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        for line in text.splitlines():
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError):
                continue
            self.values[key] = value
        self._file = open(path, "a", encoding="utf-8")
        if text and not text.endswith("\n"):
            self._file.write("\n")

    def add(self, key: str, value: Any) -> None:
        """Remember a value, on disk before this returns."""
        self.values[key] = value
        self._file.write(f"{json_text([key, value])}\n")
        self._file.flush()

    def __enter__(self) -> "StateFile":
        return self

    def __exit__(self, *_error) -> None:
        self._file.close()
