"""Places that are evenly spread over a row."""


def evenly_spaced(num_places: int, count: int) -> list[int]:
    """`count` of the places 0 ... `num_places` - 1: the first one and, if several, the last one."""
    return [index * (num_places - 1) // max(count - 1, 1) for index in range(count)]
