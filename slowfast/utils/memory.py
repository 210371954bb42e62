"""How the C library hands out memory."""

import ctypes

# glibc's names and numbers (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE = 2**31 - 1  # mallopt takes a C int


def keep_freed_memory() -> bool:
    """Let the process reuse large blocks that it freed; False where the C library is not glibc.

    By default glibc gives every block above 32 MB back to the kernel at once. Maps of video
    networks are that large, and mapping fresh pages takes several times longer than computing what
    goes into them. The price: freed memory stays with the process until it ends.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return False
    options = (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)
    return all(libc.mallopt(option, _LARGE) == 1 for option in options)
