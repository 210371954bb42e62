import pytest

from slowfast.datasets.records import frame_files


@pytest.mark.parametrize(
    "paths",
    [
        [f"/data/17/17_{number:06d}.jpg" for number in range(1, 4)],
        [f"/data/v1.2/{number:05d}.png" for number in range(99998, 100003)],
        [f"a/{number}.jpg" for number in range(8, 12)],
        [f"/data/{{clip}} (a)/{{{number:03d}}}.jpg" for number in range(3)],
        ["only-7.jpg"],
    ],
)
def test_names_that_count_up_become_a_pattern(paths):
    files = frame_files(paths)
    assert not files.names and [files.path(n) for n in range(len(files))] == paths


@pytest.mark.parametrize(
    "paths",
    [
        ["a/1.jpg", "a/3.jpg"],
        ["a/2.jpg", "a/1.jpg"],
        ["a/01.jpg", "a/2.jpg"],
        ["a/1.jpg", "b/2.jpg"],
        ["first.jpg", "second.jpg"],
        [],
    ],
)
def test_other_names_are_kept_as_they_are(paths):
    files = frame_files(paths)
    assert files.names == tuple(paths)
    assert [files.path(n) for n in range(len(files))] == paths
