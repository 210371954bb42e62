"""Triton kernels of depthwise 3D convolutions in N,T,H,W,C memory; imports triton (3.3 or later).

A program computes a tile of rows, columns and channels of one clip and marches over its frames. A
frame is read once for each tap of space and added to all frames that it reaches in time, which wait
in registers; sums are float32. The gradient of the input is the same march backwards: with a stride
each program takes the positions of one phase, which all see the same taps. Sums of the weight's
gradient are written per program and added up by the caller, so that they never depend on timing.

GEOMETRY is (kernel, stride, padding), each as T, H, W. TILE is (rows, columns, channels, number of
all channels): the last is a constant of a kernel so that the compiler knows how memory is aligned
and most distances in it, which saves a third of the registers.
"""

import triton
import triton.language as tl


@triton.jit
def _axis(number, phase, AXIS: tl.constexpr, GEOMETRY: tl.constexpr, BACK: tl.constexpr):
    """Along an axis, of the numbers of a tile: position, source of the first tap, and that tap.

    The next tap is 1 further, and so is its source; BACK: the stride further, its source 1 before.
    """
    STRIDE: tl.constexpr = GEOMETRY[1][AXIS]
    PADDING: tl.constexpr = GEOMETRY[2][AXIS]
    if BACK:
        shift = phase + PADDING
        return number * STRIDE + phase, number + shift // STRIDE, shift % STRIDE
    else:
        return number, number * STRIDE - PADDING, 0


@triton.jit
def _tile(size, GEOMETRY: tl.constexpr, BACK: tl.constexpr, TILE: tl.constexpr):
    """Numbers of the rows and columns of this program, flat, and of its channels."""
    width = size[2]
    if BACK:  # those of a phase
        width = tl.cdiv(width, GEOMETRY[1][2])
    num_blocks = tl.cdiv(TILE[3], TILE[2])
    num_w = tl.cdiv(width, TILE[1])
    program = tl.program_id(0)
    channel = (program % num_blocks) * TILE[2] + tl.arange(0, TILE[2])
    flat = tl.arange(0, TILE[0] * TILE[1])
    w = (program // num_blocks % num_w) * TILE[1] + flat % TILE[1]
    h = (program // num_blocks // num_w) * TILE[0] + flat // TILE[1]
    return h, w, channel


@triton.jit
def _frame(tensor, number, size, C: tl.constexpr):
    """Pointer to frame `number` of the clip of this program."""
    clip = tl.program_id(2).to(tl.int64)
    return tensor + (clip * size[0] + number) * (size[1] * size[2] * C)


@triton.jit
def _places(row, column, channel, size, C: tl.constexpr):
    """Places of pixels in a frame, [positions, channels]."""
    return (row * size[2] + column)[:, None] * C + channel[None, :]


@triton.jit
def _is_inside(row, column, channel, size, C: tl.constexpr):
    """Pixels that exist, [positions, channels]."""
    is_inside = (row >= 0) & (row < size[1]) & (column >= 0) & (column < size[2])
    return is_inside[:, None] & (channel < C)[None, :]


@triton.jit
def _weights(weight, tap, is_tap, channel, C: tl.constexpr):
    """Weights of a tap, [1, channels], from `weight`, taps x channels; zeros if there is none."""
    mask = (channel < C) & is_tap
    return tl.load(weight + tap * C + channel, mask=mask, other=0.0)[None, :]


@triton.jit
def _first_sums(bias, channel, TILE: tl.constexpr):
    """The bias, or zeros, [positions, channels]."""
    sums = tl.zeros([TILE[0] * TILE[1], TILE[2]], tl.float32)
    if bias is not None:
        mask = channel < TILE[3]
        sums += tl.load(bias + channel, mask=mask, other=0.0).to(tl.float32)[None, :]
    return sums


@triton.jit
def _add(product, K: tl.constexpr, sum0, sum1, sum2, sum3, sum4):
    """The sums, `product` added to number K."""
    if K == 0:
        sum0 += product
    elif K == 1:
        sum1 += product
    elif K == 2:
        sum2 += product
    elif K == 3:
        sum3 += product
    else:
        sum4 += product
    return sum0, sum1, sum2, sum3, sum4


@triton.jit
def convolve_window(
    x, weight, bias, y, sizes, GEOMETRY: tl.constexpr, BACK: tl.constexpr, TILE: tl.constexpr
):
    """Convolution of stride 1 in time with at most 5 taps there; BACK: gradient of its input.

    `sizes`: (T, H, W) of x and of y. Programs: tiles, phases, clips.
    """
    KT: tl.constexpr = GEOMETRY[0][0]
    KH: tl.constexpr = GEOMETRY[0][1]
    KW: tl.constexpr = GEOMETRY[0][2]
    SH: tl.constexpr = GEOMETRY[1][1] if BACK else 1  # from tap to tap
    SW: tl.constexpr = GEOMETRY[1][2] if BACK else 1
    SIGN: tl.constexpr = -1 if BACK else 1
    # Frame f of x reaches the KT frames of y from f - LATE on; the first of them is then complete.
    LATE: tl.constexpr = GEOMETRY[2][0] if BACK else KT - 1 - GEOMETRY[2][0]
    size, out_size = sizes
    C: tl.constexpr = TILE[3]
    h, w, channel = _tile(out_size, GEOMETRY, BACK, TILE)
    row, source_h, first_h = _axis(h, tl.program_id(1) // SW, 1, GEOMETRY, BACK)
    column, source_w, first_w = _axis(w, tl.program_id(1) % SW, 2, GEOMETRY, BACK)
    place = _places(row, column, channel, out_size, C)
    is_inside = _is_inside(row, column, channel, out_size, C)
    source = _places(source_h, source_w, channel, size, C)
    first = _first_sums(bias, channel, TILE)
    sum0, sum1, sum2, sum3, sum4 = first, first, first, first, first
    for f in range(size[0]):
        frame = _frame(x, f, size, C)
        for j in range((KH + SH - 1) // SH):
            for i in tl.static_range((KW + SW - 1) // SW):
                h, w = source_h + SIGN * j, source_w + SIGN * i
                kh, kw = first_h + j * SH, first_w + i * SW
                shifted = frame + SIGN * (j * size[2] + i) * C
                mask = _is_inside(h, w, channel, size, C)
                pixels = tl.load(shifted + source, mask=mask, other=0.0).to(tl.float32)
                is_tap = (kh < KH) & (kw < KW)
                for k in tl.static_range(KT):
                    tap = ((k if BACK else KT - 1 - k) * KH + kh) * KW + kw
                    product = pixels * _weights(weight, tap, is_tap, channel, C)
                    sum0, sum1, sum2, sum3, sum4 = _add(product, k, sum0, sum1, sum2, sum3, sum4)
        done = _frame(y, f - LATE, out_size, C)
        tl.store(done + place, sum0.to(y.dtype.element_ty), mask=is_inside & (f >= LATE))
        # Those beyond the KT-th never change.
        sum0, sum1, sum2, sum3, sum4 = sum1, sum2, sum3, sum4, first
    for f in range(size[0], out_size[0] + LATE):  # frames that no further one reaches
        done = _frame(y, f - LATE, out_size, C)
        tl.store(done + place, sum0.to(y.dtype.element_ty), mask=is_inside & (f >= LATE))
        sum0, sum1, sum2, sum3, sum4 = sum1, sum2, sum3, sum4, first


@triton.jit
def convolve(
    x, weight, bias, y, sizes, GEOMETRY: tl.constexpr, BACK: tl.constexpr, TILE: tl.constexpr
):
    """Convolution of any stride and kernel, frame by frame; else as `convolve_window`."""
    KT: tl.constexpr = GEOMETRY[0][0]
    KH: tl.constexpr = GEOMETRY[0][1]
    KW: tl.constexpr = GEOMETRY[0][2]
    ST: tl.constexpr = GEOMETRY[1][0] if BACK else 1  # from tap to tap, and phases
    SH: tl.constexpr = GEOMETRY[1][1] if BACK else 1
    SW: tl.constexpr = GEOMETRY[1][2] if BACK else 1
    SIGN: tl.constexpr = -1 if BACK else 1
    size, out_size = sizes
    C: tl.constexpr = TILE[3]
    h, w, channel = _tile(out_size, GEOMETRY, BACK, TILE)
    phase = tl.program_id(1)
    row, source_h, first_h = _axis(h, phase // SW % SH, 1, GEOMETRY, BACK)
    column, source_w, first_w = _axis(w, phase % SW, 2, GEOMETRY, BACK)
    place = _places(row, column, channel, out_size, C)
    is_inside = _is_inside(row, column, channel, out_size, C)
    source = _places(source_h, source_w, channel, size, C)
    first = _first_sums(bias, channel, TILE)
    for number in range(tl.cdiv(out_size[0], ST)):
        t, source_t, first_t = _axis(number, phase // SW // SH, 0, GEOMETRY, BACK)
        sums = first
        for k in range((KT + ST - 1) // ST):
            kt, f = first_t + k * ST, source_t + SIGN * k
            frame, is_frame = _frame(x, f, size, C), (f >= 0) & (f < size[0])
            for j in range((KH + SH - 1) // SH):
                for i in tl.static_range((KW + SW - 1) // SW):
                    h, w = source_h + SIGN * j, source_w + SIGN * i
                    kh, kw = first_h + j * SH, first_w + i * SW
                    shifted = frame + SIGN * (j * size[2] + i) * C
                    mask = _is_inside(h, w, channel, size, C) & is_frame
                    pixels = tl.load(shifted + source, mask=mask, other=0.0).to(tl.float32)
                    is_tap = (kt < KT) & (kh < KH) & (kw < KW)
                    tap = (kt * KH + kh) * KW + kw
                    sums += pixels * _weights(weight, tap, is_tap, channel, C)
        done = _frame(y, t, out_size, C)
        tl.store(done + place, sums.to(y.dtype.element_ty), mask=is_inside & (t < out_size[0]))


@triton.jit
def weight_gradient(
    x, grad, partial, sizes, num_positions, GEOMETRY: tl.constexpr, TILE: tl.constexpr
):
    """Sums of gradient x input over the positions of each program, for a group of taps.

    TILE is (taps, positions, channels, all channels). partial: programs, taps, channels.
    Programs: blocks of channels, groups of taps, every so-many-th block of positions of all clips.
    """
    KH: tl.constexpr = GEOMETRY[0][1]
    KW: tl.constexpr = GEOMETRY[0][2]
    TAPS: tl.constexpr = GEOMETRY[0][0] * KH * KW
    size, out_size = sizes
    C: tl.constexpr = TILE[3]
    channel = tl.program_id(0) * TILE[2] + tl.arange(0, TILE[2])
    tap = tl.program_id(1) * TILE[0] + tl.arange(0, TILE[0])
    shift_t = tap // (KH * KW) - GEOMETRY[2][0]
    shift_h = tap // KW % KH - GEOMETRY[2][1]
    shift_w = tap % KW - GEOMETRY[2][2]
    is_tap, is_channel = tap < TAPS, channel < C
    sums = tl.zeros([TILE[0], TILE[1], TILE[2]], tl.float32)
    step = tl.num_programs(2) * TILE[1]
    for start in range(tl.program_id(2) * TILE[1], num_positions, step):
        position = start + tl.arange(0, TILE[1])
        column, rest = position % out_size[2], position // out_size[2]
        row, clip = rest % out_size[1], (rest // out_size[1]).to(tl.int64)
        is_position = position < num_positions
        h = (row * GEOMETRY[1][1])[None, :] + shift_h[:, None]
        w = (column * GEOMETRY[1][2])[None, :] + shift_w[:, None]
        is_inside = (h >= 0) & (h < size[1]) & (w >= 0) & (w < size[2]) & is_tap[:, None]
        is_inside = (is_inside & is_position[None, :])[:, :, None] & is_channel[None, None, :]
        for t in range(out_size[0]):
            f = t * GEOMETRY[1][0] + shift_t
            source = ((clip * size[0])[None, :] + f[:, None]) * size[1] + h
            x_place = (source * size[2] + w)[:, :, None] * C + channel[None, None, :]
            is_source = is_inside & ((f >= 0) & (f < size[0]))[:, None, None]
            pixels = tl.load(x + x_place, mask=is_source, other=0.0).to(tl.float32)
            source = ((clip * out_size[0] + t) * out_size[1] + row) * out_size[2] + column
            mask = is_position[:, None] & is_channel[None, :]
            place = source[:, None] * C + channel[None, :]
            grads = tl.load(grad + place, mask=mask, other=0.0).to(tl.float32)
            sums += pixels * grads[None, :, :]
    place = (tl.program_id(2) * TAPS + tap)[:, None] * C + channel[None, :]
    tl.store(partial + place, tl.sum(sums, 1), mask=is_tap[:, None] & is_channel[None, :])
