from slowfast.utils.seeding import derive_seed


def test_seed_depends_on_every_part_and_is_the_same_everywhere():
    seeds = {
        derive_seed("sample", seed, epoch, i) for seed in (0, 1) for epoch in (0, 1) for i in (0, 1)
    }
    assert len(seeds) == 8
    assert derive_seed("sample", 0, 0, 0) == derive_seed("sample", 0, 0, 0)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seed_is_a_published_number():
    # Changing it would change every published run.
    assert derive_seed("sample", 1, 2, 3) == 3292742003968520854
