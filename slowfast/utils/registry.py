"""A name -> builder table whose errors name the config key and what is allowed."""

from collections.abc import Callable, Iterator


class Registry:
    """Maps names to builders; `key` is the config key that a user sets to choose one."""

    def __init__(self, key: str):
        self._key = key
        self._builders: dict[str, Callable] = {}

    def register(self, name: str) -> Callable[[Callable], Callable]:
        """Decorator that stores a builder under `name`."""

        def store(builder: Callable) -> Callable:
            assert name not in self._builders, f"{name!r} is registered twice for {self._key}"
            self._builders[name] = builder
            return builder

        return store

    def get(self, name: str) -> Callable:
        """The builder stored under `name`; ValueError lists the allowed names."""
        if name not in self._builders:
            raise ValueError(f"{self._key}: {name!r} is not one of {sorted(self._builders)}")
        return self._builders[name]

    def __contains__(self, name: str) -> bool:
        return name in self._builders

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)
