import pytest

from benchmarks import stores


@pytest.mark.slow
def test_every_place_gives_the_same_clips_and_no_byte_twice(store_address, monkeypatch):
    monkeypatch.setattr(stores, "_NUM_DRAWN", 2)
    monkeypatch.setattr(stores, "_NUM_RESUMED", 1)
    for name in ("AWS_ENDPOINT_URL", *stores.KEYS):  # those of a server of its own
        monkeypatch.setenv(name, "")
    lines = stores.run_stores(num_clips=9, workers=0, batch_size=4).splitlines()[2:]
    assert [line.split("  ")[0] for line in lines] == [
        *("plain files", "tars on the disk"),
        *("tars in S3, new cache", "tars in S3, full cache"),
    ]
    assert all(line.endswith("the same clips") for line in lines)
    ratios = [line.split()[-5:-3] for line in lines]
    assert ratios == [["0.000"] * 2, ["0.000"] * 2, ["1.000"] * 2, ["0.000"] * 2]
