"""Lists of records in a few arrays, which all processes of a machine can share."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from slowfast.datasets.records import FrameFiles, KeyFrame, Record, TimedLabels, Window

_LARGE = 1 << 24  # bytes: arrays of more go to another process in a file that it maps


class PackedRecords(Sequence[Record]):
    """A list of records that makes a Record when it is asked for one.

    Forked workers of a loader share its arrays; of many Python objects each would get a copy, page
    by page, as it counts references to them. Spawned ones map a file. columns: `names` and `ends`,
    the bytes of the paths' last parts; `folder_of`, numbers of folders, whose paths, with the last
    slash, are in `folders` and `folder_ends`; `label`; where a record has any, `labels` and
    `label_ends`, and `part`, NaN without one; `is_flow`; `tar_of`, which of `tars` and `tar_ends`
    it is a member of, with first byte, size and check sum in `windows` (see `windows.py`);
    `frames_of`, numbers of image files, -1 without, which are pickled in `frames` and
    `frames_ends`, as key frames of a video share them; `details` and `detail_ends`, spans and key,
    pickled.
    """

    def __init__(self, columns: dict[str, np.ndarray]):
        self.columns = columns
        self._last: tuple[int, Any] = -1, None  # frames that were asked for
        self._folder: str | None = None  # of the files for other processes

    @property
    def is_plain(self) -> bool:
        """Whether all of them are files, whose classes hold all the time."""
        return not self.columns.keys() & {"frames_of", "details", "is_flow"}

    def __len__(self) -> int:
        return len(self.columns["ends"])

    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self._record(number) for number in range(*place.indices(len(self)))]
        number = place + len(self) if place < 0 else place
        if not 0 <= number < len(self):
            raise IndexError(f"record {place} of {len(self)}")
        return self._record(number)

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(Record.__eq__, self, other))

    __hash__ = None

    def __add__(self, others: Iterable[Record]) -> list[Record]:
        return [*self, *others]

    def __radd__(self, others: Iterable[Record]) -> list[Record]:
        return [*others, *self]

    def _record(self, number: int) -> Record:
        columns = self.columns
        folder = _text(
            columns["folders"], columns["folder_ends"], int(columns["folder_of"][number])
        )
        path = os.fsdecode(folder + _text(columns["names"], columns["ends"], number))
        part, labels = columns.get("part"), ()
        if "labels" in columns:
            labels = tuple(_slice(columns["labels"], columns["label_ends"], number).tolist())
        has_part = part is not None and part[number, 0] == part[number, 0]
        return Record(
            path,
            int(columns["label"][number]),
            self._frames(number),
            *self._spans_and_key(number),
            bool("is_flow" in columns and columns["is_flow"][number]),
            labels,
            tuple(part[number].tolist()) if has_part else None,
            self._window(number) if "tar_of" in columns else None,
        )

    def _window(self, number: int) -> Window | None:
        columns = self.columns
        if (tar := int(columns["tar_of"][number])) < 0:
            return None
        name = os.fsdecode(_text(columns["tars"], columns["tar_ends"], tar))
        return Window(name, *columns["windows"][number].tolist())

    def with_columns(self, columns: dict[str, np.ndarray]) -> PackedRecords:
        """The same records with more columns."""
        return PackedRecords(self.columns | columns)

    def _frames(self, number: int) -> FrameFiles | None:
        place = int(self.columns["frames_of"][number]) if "frames_of" in self.columns else -1
        if place < 0:
            return None
        if self._last[0] != place:
            columns = self.columns
            content = _text(columns["frames"], columns["frames_ends"], place)
            self._last = place, pickle.loads(content)
        return self._last[1]

    def _spans_and_key(self, number: int) -> tuple[TimedLabels | None, KeyFrame | None]:
        if "details" not in self.columns:
            return None, None
        content = _text(self.columns["details"], self.columns["detail_ends"], number)
        return pickle.loads(content) if content else (None, None)

    def by_folder(self) -> Iterator[tuple[str, list[str]]]:
        """(path with its last slash, names in the order of the list) of each folder."""
        for folder, places in self.places_by_folder():
            yield folder, self.names(places)

    def names(self, places: Iterable[int]) -> list[str]:
        """Last parts of the paths of some records."""
        names, ends = self.columns["names"], self.columns["ends"]
        return [os.fsdecode(_text(names, ends, place)) for place in places]

    def places_by_folder(self) -> Iterator[tuple[str, list[int]]]:
        """(path with its last slash, numbers of its records in order) of each folder."""
        folder_of, folders = self.columns["folder_of"], self.folders()
        order = np.argsort(folder_of, kind="stable")
        stops = np.cumsum(np.bincount(folder_of, minlength=len(folders))).tolist()
        for folder, start, stop in zip(folders, [0, *stops], stops, strict=False):
            yield folder, order[start:stop].tolist()

    def folders(self) -> list[str]:
        """Paths of the folders, with their last slash."""
        columns = self.columns
        count = len(columns["folder_ends"])
        texts = (_text(columns["folders"], columns["folder_ends"], place) for place in range(count))
        return list(map(os.fsdecode, texts))

    def classes(self, target: int | None = None) -> np.ndarray:
        """The classes of all records, one after another; of several targets those of one.

        Not for lists with details, which have classes of their own.
        """
        label, labels = self.columns["label"], self.columns.get("labels")
        if labels is None:
            return label[label >= 0] if target is None else labels_of(self)[:0]
        ends = self.columns["label_ends"].astype(np.int64)
        counts = np.diff(ends, prepend=0)
        if target is not None:
            return labels[(ends - counts + target)[counts > target]]
        return np.concatenate([labels, label[(counts == 0) & (label >= 0)]])

    def details(self) -> Iterator[tuple]:
        """Frames, spans and key of each record, where any has them; else nothing."""
        has_any = self.columns.keys() & {"frames_of", "details"}
        numbers = range(len(self) if has_any else 0)
        return ((self._frames(number), *self._spans_and_key(number)) for number in numbers)

    def __reduce__(self) -> tuple:
        if sum(array.nbytes for array in self.columns.values()) < _LARGE:
            return PackedRecords, (self.columns,)
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="slowfast_records_")
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            for name, array in self.columns.items():
                np.save(os.path.join(self._folder, f"{name}.npy"), array)
        return _mapped, (self._folder, list(self.columns))


def _mapped(folder: str, names: Sequence[str]) -> PackedRecords:
    files = {name: os.path.join(folder, f"{name}.npy") for name in names}
    # As a plain array: slices of a memmap take longer.
    columns = {name: np.asarray(np.load(file, "r")) for name, file in files.items()}
    return PackedRecords(columns)


def _slice(values: np.ndarray, ends: np.ndarray, number: int) -> np.ndarray:
    return values[int(ends[number - 1]) if number else 0 : int(ends[number])]


def _text(values: np.ndarray, ends: np.ndarray, number: int) -> bytes:
    return _slice(values, ends, number).tobytes()


class RecordPacker:
    """Collects records for PackedRecords without keeping them."""

    def __init__(self):
        self._folders: dict[bytes, int] = {}
        self._frames: dict[FrameFiles, int] = {}
        self._blocks: list[dict[str, np.ndarray]] = []

    def add(self, records: Sequence[Record]) -> None:
        """Add some records, better thousands than one."""
        paths = [os.fsencode(record.path).rpartition(b"/") for record in records]
        names, labels = [name for *_, name in paths], [record.labels for record in records]
        sizes = list(map(len, names))
        folders = [self.folder_number(folder + slash) for folder, slash, _ in paths]
        label = np.array([record.label for record in records], np.int64)
        self._add_block(folders, b"".join(names), sizes, label)
        block, no_part = self._blocks[-1], (np.nan, np.nan)
        if any(labels):
            block["labels"] = np.array([label for each in labels for label in each], np.int64)
            block["label_sizes"] = np.array(list(map(len, labels)), np.int64)
        if any(record.part for record in records):
            block["part"] = np.array([record.part or no_part for record in records], np.float64)
        if any(record.is_flow for record in records):
            block["is_flow"] = np.array([record.is_flow for record in records])
        if any(record.frames is not None for record in records):
            block["frames_of"] = np.array(self._frame_numbers(records), np.int32)
        pairs = [(record.spans, record.key) for record in records]
        if any(pair != (None, None) for pair in pairs):
            found = [b"" if pair == (None, None) else pickle.dumps(pair) for pair in pairs]
            block["details"] = np.frombuffer(b"".join(found), np.uint8)
            block["detail_sizes"] = np.array(list(map(len, found)), np.int64)

    def _frame_numbers(self, records: Sequence[Record]) -> list[int]:
        """Number of the frames of each record; a thousand names are looked up once."""
        known = {id(None): -1}
        for record in records:
            if id(record.frames) not in known:
                number = self._frames.setdefault(record.frames, len(self._frames))
                known[id(record.frames)] = number
        return [known[id(record.frames)] for record in records]

    def folder_number(self, folder: bytes) -> int:
        """Number of a folder, whose path has its last slash."""
        return self._folders.setdefault(folder, len(self._folders))

    def add_block(
        self,
        folders: Sequence[int],
        names: Sequence[bytes],
        label: np.ndarray,
        part: np.ndarray | None = None,
    ) -> None:
        """Add files of one class each by the numbers of their folders; part: n,2 seconds."""
        self._add_block(folders, b"".join(names), list(map(len, names)), label)
        if part is not None:
            self._blocks[-1]["part"] = part

    def _add_block(
        self, folders: Sequence[int], names: bytes, sizes: Sequence[int], label: np.ndarray
    ) -> None:
        self._blocks.append(
            {
                "folder_of": np.array(folders, np.int32),
                "names": np.frombuffer(names, np.uint8),
                "sizes": np.array(sizes, np.int32),
                "label": label.astype(np.int32) if _fits(label) else label,
            }
        )

    def pack(self) -> PackedRecords:
        """All that were added; then there are none here."""
        counts = [len(block["sizes"]) for block in self._blocks]
        columns = {name: self._take(name, counts) for name in ("folder_of", "names", "label")}
        columns["ends"] = _ends(self._take("sizes", counts))
        folders = list(self._folders)
        columns["folders"] = np.frombuffer(b"".join(folders), np.uint8)
        columns["folder_ends"] = _ends(np.array(list(map(len, folders)), np.int64))
        empty = {"label_sizes": 0, "labels": 0, "part": (np.nan, np.nan), "is_flow": False}
        empty |= {"frames_of": np.int32(-1), "details": np.uint8(0), "detail_sizes": 0}
        for name, value in empty.items():
            if any(name in block for block in self._blocks):
                lengths = [0] * len(counts) if name in ("labels", "details") else counts
                columns[name] = self._take(name, lengths, value)
        if "label_sizes" in columns:
            columns["label_ends"] = _ends(columns.pop("label_sizes"))
        if "details" in columns:
            columns["detail_ends"] = _ends(columns.pop("detail_sizes"))
        if self._frames:
            found = list(map(pickle.dumps, self._frames))
            columns["frames"] = np.frombuffer(b"".join(found), np.uint8)
            columns["frames_ends"] = _ends(np.array(list(map(len, found)), np.int64))
        return PackedRecords(columns)

    def _take(self, name: str, counts: Sequence[int], empty: Any = 0) -> np.ndarray:
        """A column of all blocks, which lose it; `empty` for each record of one that has none."""
        shape, pairs = np.shape(empty), zip(self._blocks, counts, strict=True)
        found = [
            block.pop(name) if name in block else np.full((count, *shape), empty)
            for block, count in pairs
        ]
        return np.concatenate(found) if found else np.zeros((0, *shape), np.int64)


def text_columns(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of texts, one after another, and their ends."""
    encoded = list(map(os.fsencode, texts))
    sizes = np.array(list(map(len, encoded)), np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), _ends(sizes)


def _fits(values: np.ndarray) -> bool:
    return not len(values) or -(2**31) <= values.min() <= values.max() < 2**31


def _ends(sizes: np.ndarray) -> np.ndarray:
    ends = np.cumsum(sizes, dtype=np.int64)
    return ends.astype(np.uint32) if len(ends) and ends[-1] < 2**32 else ends


def pack(records: Sequence[Record]) -> PackedRecords:
    """The same records, packed."""
    if isinstance(records, PackedRecords):
        return records
    packer = RecordPacker()
    packer.add(records)
    return packer.pack()


def labels_of(records: Sequence[Record]) -> np.ndarray:
    """int64: `label` of each record."""
    if isinstance(records, PackedRecords):
        return records.columns["label"].astype(np.int64)
    return np.array([record.label for record in records], np.int64)


def digest(records: Sequence[Record]) -> str:
    """Digest of a list: the names of its videos, their folders, and their labels, in order.

    Where the whole set lies makes no difference.
    """
    packed, total = pack(records), hashlib.blake2b(digest_size=16)
    folders = [folder.rstrip("/").rpartition("/")[2] for folder in packed.folders()]
    total.update(repr(folders).encode(errors="surrogateescape"))
    for name in ("folder_of", "names", "ends", "label", "labels", "label_ends", "part"):
        if (column := packed.columns.get(name)) is not None:
            kind = {"names": np.uint8, "part": np.float64}.get(name, np.int64)
            total.update(name.encode() + np.ascontiguousarray(column, kind).tobytes())
    for _, spans, key in packed.details():
        row = spans, key and (key.key, key.labels)
        total.update(repr(row).encode(errors="surrogateescape"))
    return total.hexdigest()
