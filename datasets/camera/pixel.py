"""The pixels of a dynamic vision sensor, one after the other, compiled.

Imported where it is first used: numba takes half a second to import.

Per pixel, with t in us, log intensity L and everything else in log units of e:

    photoreceptor   V  <- V + a (L - V),  a = 1 - 1 / (1 + c x + (c x)^2 / 2),  x = 2 pi f dt
                    f: bandwidth, which rises with light; c: the pixel's own factor, exp(spread n)
    change          d(t) = V(t) - R + leak (t - t_R)                 V straight within a step
    event           ON when d >= theta+, OFF when d <= -theta-;  also by chance (shot noise)
    afterwards      the pixel is held for the refractory time, then R = V and t_R = t

"A 128x128 120 dB 15 us latency asynchronous temporal contrast vision sensor", Lichtsteiner, Posch
& Delbruck, 2008, https://doi.org/10.1109/JSSC.2007.914337, has the circuit; "v2e: from video
frames to realistic DVS events", Hu, Liu & Delbruck, 2021, https://arxiv.org/abs/2006.07722, the
bandwidth that rises with light and the leak.

The step of the photoreceptor is 1 - exp(-c x) with the exponential's rational approximation, which
costs a third: stable at any x, off by 0.003 at x = 0.3 and by 0.07 at most.

Every random number is a hash of (recording's key, pixel, counter): no order or batch matters.
"""

import math

from numba import njit, uint64

_TWO_PI = 2.0 * math.pi
# State of a pixel, a row of float64: V, R, the time it is released (us), the thresholds of the
# next event, when noise strikes next (us), two counters of random numbers, and c.
V, R, RELEASED, ON, OFF, STRIKE, EVENTS, STRIKES, SPEED = range(9)
NUM_STATES = 9
# Parameters, in the order of the vector that `run` takes.
THETA_ON, THETA_OFF, MISMATCH, JITTER, REFRACTORY, LEAK, NOISE_ON, NOISE_OFF, SPREAD = range(9)
NUM_PARAMETERS = 9


@njit(cache=True, nogil=True, inline="always")
def _mix(z):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser on uint64 (as in vdib/noise.py)."""
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return z ^ (z >> uint64(31))


@njit(cache=True, nogil=True)
def _uniform(key, pixel, stream, count):  # type: ignore[no-untyped-def]
    """Uniform in (0, 1), a hash of its address."""
    golden = uint64(0x9E3779B97F4A7C15)
    z = _mix((key ^ uint64(pixel * 4 + stream)) + golden)
    z = _mix(z + golden * uint64(count + 1))
    return (float(z >> uint64(11)) + 0.5) * 2.0**-53


@njit(cache=True, nogil=True)
def _normals(key, pixel, stream, count):  # type: ignore[no-untyped-def]
    """Two standard normals: the polar form of two uniforms (Box & Muller, 1958)."""
    u = _uniform(key, pixel, stream, 2 * count)
    v = _TWO_PI * _uniform(key, pixel, stream, 2 * count + 1)
    radius = math.sqrt(-2.0 * math.log(u))
    return radius * math.cos(v), radius * math.sin(v)


@njit(cache=True, nogil=True)
def _thresholds(key, pixel, count, p):  # type: ignore[no-untyped-def]
    """theta (1 + mismatch of this pixel) (1 + noise of this event), never below a tenth."""
    theta_on, theta_off = p[THETA_ON], p[THETA_OFF]
    if p[MISMATCH] > 0.0:
        on, off = _normals(key, pixel, 0, 0)
        theta_on *= max(0.1, 1.0 + p[MISMATCH] * on)
        theta_off *= max(0.1, 1.0 + p[MISMATCH] * off)
    if p[JITTER] > 0.0:
        on, off = _normals(key, pixel, 1, count)
        theta_on *= max(0.1, 1.0 + p[JITTER] * on)
        theta_off *= max(0.1, 1.0 + p[JITTER] * off)
    return theta_on, theta_off


@njit(cache=True, nogil=True)
def _waiting(key, pixel, count, rate):  # type: ignore[no-untyped-def]
    """Time to the next strike of noise of `rate` per us, exponentially distributed; us."""
    if rate <= 0.0:
        return math.inf
    return -math.log(_uniform(key, pixel, 2, count)) / rate


@njit(cache=True, nogil=True)
def _light(level, i, j, weight):  # type: ignore[no-untyped-def]
    """Log intensity between the grid's points (i, j), to the right, below and diagonal."""
    return (
        weight[0] * level[i, j]
        + weight[1] * level[i, j + 1]
        + weight[2] * level[i + 1, j]
        + weight[3] * level[i + 1, j + 1]
    )


@njit(cache=True, nogil=True)
def start(state, width, fine, level, row, column, weight, key, p):  # type: ignore[no-untyped-def]
    """Pixels at rest in the light of time 0, with the leak at a random phase.

    `state` (P, NUM_STATES) is filled; the other arguments are those of `run`.
    """
    for pixel in range(len(state)):
        i = min(max(row[0] + fine * (pixel // width), 0), level.shape[0] - 2)
        j = min(max(column[0] + fine * (pixel % width), 0), level.shape[1] - 2)
        s = state[pixel]
        s[ON], s[OFF] = _thresholds(key, pixel, 0, p)
        s[V] = _light(level, i, j, weight[0])
        s[R] = s[V]
        if p[LEAK] > 0.0:
            s[R] -= s[ON] * _uniform(key, pixel, 3, 0)
        s[RELEASED] = 0.0
        s[EVENTS] = 0.0
        s[STRIKES] = 1.0
        s[STRIKE] = _waiting(key, pixel, 0, p[NOISE_ON] + p[NOISE_OFF])
        s[SPEED] = math.exp(p[SPREAD] * _normals(key, pixel, 0, 1)[0]) if p[SPREAD] > 0.0 else 1.0


@njit(cache=True, nogil=True)
def _within(s, key, pixel, v0, v1, t0, t1, p, out_t, out_p, found):  # type: ignore[no-untyped-def]
    """Events of one pixel while V goes straight from v0 to v1 over t0 <= t < t1.

    Returns how many there are by now; those that do not fit `out_t` are only counted.
    """
    slope = (v1 - v0) / (t1 - t0)
    rate = slope + p[LEAK]
    noise = p[NOISE_ON] + p[NOISE_OFF]
    while s[RELEASED] < t1:
        begin = max(t0, s[RELEASED])
        if math.isnan(s[R]):
            s[R] = v0 + slope * (begin - t0)
        rest = v0 + slope * (begin - t0) - s[R]
        d = rest + p[LEAK] * (begin - s[RELEASED])
        t, polarity = math.inf, 1
        if d >= s[ON]:
            t = begin
        elif -d >= s[OFF]:
            t, polarity = begin, 0
        elif slope == 0.0 and p[LEAK] > 0.0:
            # Reckoned from the release, so that steps of any length agree to the bit.
            t = max(begin, s[RELEASED] + (s[ON] - rest) / p[LEAK])
        elif rate > 0.0:
            t = begin + (s[ON] - d) / rate
        elif rate < 0.0:
            t, polarity = begin + (s[OFF] + d) / -rate, 0
        while s[STRIKE] < begin:  # noise finds the pixel held
            s[STRIKE] += _waiting(key, pixel, s[STRIKES], noise)
            s[STRIKES] += 1.0
        if s[STRIKE] < min(t, t1):
            t = s[STRIKE]
            chance = _uniform(key, pixel, 3, s[STRIKES])
            polarity = 1 if chance * noise < p[NOISE_ON] else 0
            s[STRIKE] += _waiting(key, pixel, s[STRIKES], noise)
            s[STRIKES] += 1.0
        if t >= t1:
            break
        if found < len(out_t):
            out_t[found] = math.floor(t)
            out_p[found] = polarity
        found += 1
        s[RELEASED] = t + p[REFRACTORY]
        s[R] = math.nan  # V at the release, which may lie in a later step
        s[EVENTS] += 1.0
        if p[JITTER] > 0.0:
            s[ON], s[OFF] = _thresholds(key, pixel, s[EVENTS], p)
    return found


@njit(cache=True, nogil=True)
def run(  # type: ignore[no-untyped-def]
    state,
    pixels,
    width,
    fine,
    level,
    speed,
    row,
    column,
    weight,
    ripple,
    t0,
    dt,
    key,
    p,
    out_t,
    out_p,
    out_i,
):
    """Events of `pixels` over the T steps of a piece.

    Args:
        state: (P, NUM_STATES) of all pixels of the sensor, changed in place.
        pixels: (Q,) which of them, numbered y width + x.
        level, speed: (G, G') the scene's log intensity, and x, on a grid of `fine` points a pixel.
        row, column: (T,) the grid point up and left of where pixel (0, 0) looks.
        weight: (T, 4) of that point, its right, lower and diagonal neighbours.
        ripple: (T,) what flicker adds to every log intensity.
        t0, dt: start of the first step, length of a step; us.
        key: of the random numbers. p: (NUM_PARAMETERS,), per us and in log units.
        out_t, out_p, out_i: (E,) times (us), polarities and pixels of the events that fit.

    Returns:
        The number of events; where it exceeds E, repeat with more room and the state of before.
    """
    last_row, last_column = level.shape[0] - 2, level.shape[1] - 2
    found = 0
    for pixel in pixels:
        s = state[pixel]
        y, x = fine * (pixel // width), fine * (pixel % width)
        before = found
        v = s[V]
        for k in range(len(row)):
            i = min(max(row[k] + y, 0), last_row)
            j = min(max(column[k] + x, 0), last_column)
            light = _light(level, i, j, weight[k]) + ripple[k]
            q = s[SPEED] * speed[i, j]
            a = q + 0.5 * q * q
            v1 = v + a / (1.0 + a) * (light - v)
            begin = t0 + k * dt
            end = begin + dt
            # Most steps change nothing: seen without the exact treatment.
            drift = p[LEAK] * (end - s[RELEASED])
            high = max(v, v1) - s[R] + drift
            low = s[R] - min(v, v1)
            if not (high < s[ON] and low < s[OFF] and s[STRIKE] >= end) and s[RELEASED] < end:
                found = _within(s, key, pixel, v, v1, begin, end, p, out_t, out_p, found)
            v = v1
        s[V] = v
        out_i[before:found] = pixel
    return found


@njit(cache=True, nogil=True)
def run_still(state, pixels, t0, t1, key, p, out_t, out_p, out_i, found):  # type: ignore[no-untyped-def]
    """As `run`, for `pixels` whose light never changes: only noise and leak, in one step."""
    for pixel in pixels:
        s = state[pixel]
        before = found
        found = _within(s, key, pixel, s[V], s[V], t0, t1, p, out_t, out_p, found)
        out_i[before:found] = pixel
    return found
