"""A name -> entry table whose errors name the config key and what is allowed."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Maps names to entries; `key` is the config key that a user sets to choose one."""

    def __init__(self, key: str):
        self._key = key
        self._entries: dict[str, Entry] = {}

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator that stores an entry under `name`."""

        def store(entry: Entry) -> Entry:
            assert name not in self._entries, f"{name!r} is registered twice for {self._key}"
            self._entries[name] = entry
            return entry

        return store

    def get(self, name: str) -> Entry:
        """The entry stored under `name`; ValueError lists the allowed names."""
        if name not in self._entries:
            raise ValueError(f"{self._key}: {name!r} is not one of {sorted(self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)
