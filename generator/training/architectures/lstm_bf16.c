/* The recurrence of an LSTM over time, forward and backward, with matrix products of bfloat16 that are summed in float32: on AMX tiles, or by
 * AVX512-BF16, whichever this is compiled for.
 *
 * Gates are in Keras's order: input, forget, candidate, output. All arrays are C-contiguous; `steps` first, then `batch`. One call
 * computes the rows first … last-1 of the batch (a multiple of 32), so several threads can share a batch without waiting for each other.
 */
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint16_t bf16;

enum { TILE = 16, ROWS = 32, DEPTH = 32, GROUP = 32 };

#ifdef __AMX_TILE__
typedef struct __attribute__((packed)) {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} tile_config;

/* 0 when this can run here. Asks the kernel for the tile registers. */
int lstm_available(void) { return (int)syscall(SYS_arch_prctl, 0x1023, 18); }

static void begin(void) {
    tile_config c;
    memset(&c, 0, sizeof c);
    c.palette = 1;
    for (int i = 0; i < 8; i++) { c.colsb[i] = 64; c.rows[i] = 16; }
    _tile_loadconfig(&c);
}
static void end(void) { _tile_release(); }

/* out [32, 32] = left [32, depth] @ two column tiles whose packed parts begin at b0 and b1; with `add`, it is added to what is there. The left
 * side's tiles begin at a0 (upper 16 rows) and a1 (lower), `step` elements from one to the next, `stride` from row to row. */
static inline void multiply(long depth, const bf16 *a0, const bf16 *a1, long step, long stride, const bf16 *b0, const bf16 *b1, float *out,
                            long out_stride, int add) {
    float *low = out + TILE * out_stride;
    if (add) {
        _tile_loadd(0, out, out_stride * 4); _tile_loadd(1, out + TILE, out_stride * 4);
        _tile_loadd(2, low, out_stride * 4); _tile_loadd(3, low + TILE, out_stride * 4);
    } else {
        _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    }
    for (long k = 0; k < depth; k += DEPTH, a0 += step, a1 += step) {
        _tile_loadd(4, a0, stride * 2);
        _tile_loadd(5, a1, stride * 2);
        _tile_loadd(6, b0 + k * TILE, 64);
        _tile_loadd(7, b1 + k * TILE, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, out_stride * 4); _tile_stored(1, out + TILE, out_stride * 4);
    _tile_stored(2, low, out_stride * 4); _tile_stored(3, low + TILE, out_stride * 4);
}
#else
int lstm_available(void) { return __builtin_cpu_supports("avx512bf16") ? 0 : -1; }
static void begin(void) {}
static void end(void) {}

/* As above. Eight rows at a time, whose sums fill half of the registers. */
static inline void multiply(long depth, const bf16 *a0, const bf16 *a1, long step, long stride, const bf16 *b0, const bf16 *b1, float *out,
                            long out_stride, int add) {
    enum { PART = 8 };
    for (long first = 0; first < ROWS; first += PART) {
        const bf16 *a = (first < TILE ? a0 : a1) + first % TILE * stride;
        float *sums = out + first * out_stride;
        __m512 s[PART][2];
#pragma GCC unroll 8
        for (int r = 0; r < PART; r++) {
            s[r][0] = add ? _mm512_loadu_ps(sums + r * out_stride) : _mm512_setzero_ps();
            s[r][1] = add ? _mm512_loadu_ps(sums + r * out_stride + TILE) : _mm512_setzero_ps();
        }
        for (long k = 0; k < depth; k += DEPTH, a += step)
            for (long pair = 0; pair < DEPTH; pair += 2) {
                const __m512bh low = (__m512bh)_mm512_loadu_si512(b0 + (k + pair) * TILE);
                const __m512bh high = (__m512bh)_mm512_loadu_si512(b1 + (k + pair) * TILE);
#pragma GCC unroll 8
                for (int r = 0; r < PART; r++) {
                    int two;
                    memcpy(&two, a + r * stride + pair, sizeof two);
                    const __m512bh both = (__m512bh)_mm512_set1_epi32(two);
                    s[r][0] = _mm512_dpbf16_ps(s[r][0], both, low);
                    s[r][1] = _mm512_dpbf16_ps(s[r][1], both, high);
                }
            }
#pragma GCC unroll 8
        for (int r = 0; r < PART; r++) {
            _mm512_storeu_ps(sums + r * out_stride, s[r][0]);
            _mm512_storeu_ps(sums + r * out_stride + TILE, s[r][1]);
        }
    }
}
#endif

static inline __m512 exp_(__m512 x) {
    const __m512 y = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    const __m512 n = _mm512_roundscale_ps(y, 0);
    const __m512 f = _mm512_sub_ps(y, n);
    __m512 p = _mm512_set1_ps(1.33335581e-3f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.61812911e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.55041087e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.40226507e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.93147181e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}
static inline __m512 reciprocal(__m512 x) {
    const __m512 r = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(2.0f)));
}
static inline __m512 sigmoid(__m512 x) {
    x = _mm512_max_ps(x, _mm512_set1_ps(-60.0f));
    return reciprocal(_mm512_add_ps(_mm512_set1_ps(1.0f), exp_(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}
static inline __m512 tanh_(__m512 x) {
    const __m512 two = _mm512_set1_ps(2.0f);
    return _mm512_fmsub_ps(two, sigmoid(_mm512_mul_ps(two, x)), _mm512_set1_ps(1.0f));
}
static inline __m512 load(const bf16 *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
static inline void store(bf16 *p, __m512 x) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x)); }

/* A matrix [depth, columns] as tiles for the right side of a product, columns first … last-1: column tile after column tile, in it depth
 * block after depth block. `transposed`: the matrix is given as [columns, depth]. */
void lstm_pack(long depth, long columns, int transposed, long first, long last, const bf16 *matrix, bf16 *packed) {
    for (long n = first; n < last; n += TILE) {
        bf16 *out = packed + n * depth;
        for (long k = 0; k < depth; k += 2, out += 2 * TILE)
            if (transposed) {
                for (long j = 0; j < TILE; j++) memcpy(out + 2 * j, matrix + (n + j) * depth + k, 4);
            } else {
                const __m512i even = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(matrix + k * columns + n)));
                const __m512i odd = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(matrix + (k + 1) * columns + n)));
                _mm512_storeu_si512(out, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
            }
    }
}

/* The transpose [columns, rows] of matrix [rows, columns] as tiles for the left side of a product, rows first … last-1 of the matrix: row tile
 * after row tile, in it depth block after depth block (so that no two rows of a tile compete for a place in the cache). */
void lstm_transpose(long rows, long columns, long first, long last, const bf16 *matrix, bf16 *out) {
    for (long r = first; r < last; r += DEPTH)
        for (long c = 0; c < columns; c += TILE) {
            bf16 *tile = out + c * rows + r * TILE;
            for (long i = 0; i < DEPTH; i++)
                for (long j = 0; j < TILE; j++) tile[j * DEPTH + i] = matrix[(r + i) * columns + c + j];
        }
}

/* out [32, 32] = left [32, depth] @ two column tiles, as `multiply`; the left side is a matrix, its rows `stride` apart. */
static inline void product(long depth, const bf16 *left, long stride, const bf16 *b0, const bf16 *b1, float *out, long out_stride) {
    multiply(depth, left, left + TILE * stride, DEPTH, stride, b0, b1, out, out_stride, 0);
}

/* projected [steps, batch, 4 units], packed: recurrent [units, 4 units]; hidden [batch, units] bfloat16, cell float32
 * -> hiddens [steps, batch, units], cells, gates [steps, batch, 4 units]. Columns of all gates are grouped: 32 units of each gate after the other. */
void lstm_forward(long steps, long batch, long units, long first, long last, const bf16 *projected, const bf16 *packed, const bf16 *hidden,
                  const float *cell, bf16 *hiddens, float *cells, bf16 *gates) {
    float *sums = aligned_alloc(64, (last - first) * 4 * GROUP * sizeof(float));
    begin();
    for (long t = 0; t < steps; t++) {
        const bf16 *h = t ? hiddens + (t - 1) * batch * units : hidden;
        const float *c = t ? cells + (t - 1) * batch * units : cell;
        for (long u = 0; u < units; u += GROUP) {
            /* All rows with one gate's columns, which fit the first-level cache, before the next gate. */
            for (long gate = 0; gate < 4; gate++) {
                const bf16 *b = packed + (4 * u + gate * GROUP) * units;
                for (long row = first; row < last; row += ROWS)
                    product(units, h + row * units, units, b, b + TILE * units, sums + (row - first) * 4 * GROUP + gate * GROUP, 4 * GROUP);
            }
            for (long row = first; row < last; row++) {
                const bf16 *ahead = projected + ((t * batch + row + 8) * units + u) * 4;
                for (long line = 0; line < 4 * GROUP; line += GROUP) _mm_prefetch(ahead + line, _MM_HINT_T0);
                for (long half = 0; half < GROUP; half += TILE) {
                    const long at = (t * batch + row) * units + u + half;
                    const long at4 = ((t * batch + row) * units + u) * 4 + half;
                    const bf16 *x = projected + at4;
                    const float *s = sums + (row - first) * 4 * GROUP + half;
                    const __m512 i = sigmoid(_mm512_add_ps(_mm512_load_ps(s), load(x)));
                    const __m512 f = sigmoid(_mm512_add_ps(_mm512_load_ps(s + GROUP), load(x + GROUP)));
                    const __m512 g = tanh_(_mm512_add_ps(_mm512_load_ps(s + 2 * GROUP), load(x + 2 * GROUP)));
                    const __m512 o = sigmoid(_mm512_add_ps(_mm512_load_ps(s + 3 * GROUP), load(x + 3 * GROUP)));
                    const __m512 n = _mm512_fmadd_ps(f, _mm512_loadu_ps(c + row * units + u + half), _mm512_mul_ps(i, g));
                    bf16 *y = gates + at4;
                    _mm512_storeu_ps(cells + at, n);
                    store(hiddens + at, _mm512_mul_ps(o, tanh_(n)));
                    store(y, i); store(y + GROUP, f); store(y + 2 * GROUP, g); store(y + 3 * GROUP, o);
                }
            }
        }
    }
    end();
    free(sums);
}

/* packed: the transpose of recurrent, [4 units, units]; upstream [steps, batch, units]: the gradient at the hidden states; d_cell [batch, units]:
 * zeros, scratch -> d_projected [steps, batch, 4 units]. */
void lstm_backward(long steps, long batch, long units, long first, long last, const bf16 *packed, const float *cell, const float *cells,
                   const bf16 *gates, const bf16 *upstream, float *d_cell, bf16 *d_projected) {
    float z[ROWS * GROUP] __attribute__((aligned(64)));
    const __m512 one = _mm512_set1_ps(1.0f);
    begin();
    for (long t = steps - 1; t >= 0; t--) {
        const float *earlier = t ? cells + (t - 1) * batch * units : cell;
        for (long u = 0; u < units; u += GROUP) {
            const bf16 *b = packed + u * 4 * units;
            for (long row = first; row < last; row += ROWS) {
                if (t < steps - 1)
                    product(4 * units, d_projected + ((t + 1) * batch + row) * 4 * units, 4 * units, b, b + TILE * 4 * units, z, GROUP);
                else
                    memset(z, 0, sizeof z);
                for (long r = 0; r < ROWS; r++) {
                    const bf16 *ahead = gates + ((t * batch + row + r + 8) * units + u) * 4;
                    for (long line = 0; line < 4 * GROUP; line += GROUP) _mm_prefetch(ahead + line, _MM_HINT_T0);
                    for (long half = 0; half < GROUP; half += TILE) {
                        const long at = (t * batch + row + r) * units + u + half;
                        const long at4 = ((t * batch + row + r) * units + u) * 4 + half;
                        const bf16 *y = gates + at4;
                        const __m512 i = load(y), f = load(y + GROUP), g = load(y + 2 * GROUP), o = load(y + 3 * GROUP);
                        const __m512 s = tanh_(_mm512_loadu_ps(cells + at));
                        const __m512 dh = _mm512_add_ps(_mm512_load_ps(z + r * GROUP + half), load(upstream + at));
                        float *dcp = d_cell + (row + r) * units + u + half;
                        const __m512 dc = _mm512_fmadd_ps(_mm512_mul_ps(dh, o), _mm512_fnmadd_ps(s, s, one), _mm512_loadu_ps(dcp));
                        const __m512 before = _mm512_loadu_ps(earlier + (row + r) * units + u + half);
                        bf16 *d = d_projected + at4;
                        store(d, _mm512_mul_ps(_mm512_mul_ps(dc, g), _mm512_mul_ps(i, _mm512_sub_ps(one, i))));
                        store(d + GROUP, _mm512_mul_ps(_mm512_mul_ps(dc, before), _mm512_mul_ps(f, _mm512_sub_ps(one, f))));
                        store(d + 2 * GROUP, _mm512_mul_ps(_mm512_mul_ps(dc, i), _mm512_fnmadd_ps(g, g, one)));
                        store(d + 3 * GROUP, _mm512_mul_ps(_mm512_mul_ps(dh, s), _mm512_mul_ps(o, _mm512_sub_ps(one, o))));
                        _mm512_storeu_ps(dcp, _mm512_mul_ps(dc, f));
                    }
                }
            }
        }
    }
    end();
}

/* out [rows, columns] = left [rows, depth] @ packed + bias, rows first … last-1, out in bfloat16. */
void lstm_product(long rows, long columns, long depth, long first, long last, const bf16 *left, const bf16 *packed, const float *bias, bf16 *out) {
    enum { BLOCK = 256 };
    float z[ROWS * 32] __attribute__((aligned(64)));
    bf16 *tiles = aligned_alloc(64, BLOCK * depth * 2);
    begin();
    for (long block = first; block < last; block += BLOCK) {
        const long end = block + BLOCK < last ? block + BLOCK : last;
        for (long row = block; row < end; row++) {
            bf16 *tile = tiles + (row - block) / TILE * TILE * depth + (row - block) % TILE * DEPTH;
            for (long k = 0; k < depth; k += DEPTH) _mm512_storeu_si512(tile + k * TILE, _mm512_loadu_si512(left + row * depth + k));
        }
        for (long n = 0; n < columns; n += 2 * TILE) {
            const __m512 low = bias ? _mm512_loadu_ps(bias + n) : _mm512_setzero_ps(), high = bias ? _mm512_loadu_ps(bias + n + TILE) : low;
            for (long row = block; row < end; row += ROWS) {
                const bf16 *a = tiles + (row - block) * depth;
                multiply(depth, a, a + TILE * depth, TILE * DEPTH, DEPTH, packed + n * depth, packed + (n + TILE) * depth, z, 32, 0);
                for (long r = 0; r < ROWS; r++) {
                    store(out + (row + r) * columns + n, _mm512_add_ps(_mm512_load_ps(z + r * 32), low));
                    store(out + (row + r) * columns + n + TILE, _mm512_add_ps(_mm512_load_ps(z + r * 32 + TILE), high));
                }
            }
        }
    }
    end();
    free(tiles);
}

/* out [rows, columns] = left [rows, depth] @ packed, columns first … last-1, summed in float32 over a long depth; left as `transpose` gives it. */
void lstm_gradient(long rows, long columns, long depth, long first, long last, const bf16 *left, const bf16 *packed, float *out) {
    enum { BLOCK = 1024, WIDTH = 1024 };
    begin();
    for (long chunk = first; chunk < last; chunk += WIDTH)
        for (long block = 0; block < depth; block += BLOCK) {
            const long part = block + BLOCK < depth ? BLOCK : depth - block;
            for (long n = chunk; n < last && n < chunk + WIDTH; n += 2 * TILE)
                for (long row = 0; row < rows; row += ROWS) {
                    float *z = out + row * columns + n;
                    const bf16 *a = left + row * depth + block * TILE, *b = packed + n * depth + block * TILE;
                    multiply(part, a, a + TILE * depth, TILE * DEPTH, DEPTH, b, b + TILE * depth, z, columns, block > 0);
                }
        }
    end();
}

/* out [columns] = the sum over rows of matrix [rows, columns], columns first … last-1. */
void lstm_column_sums(long rows, long columns, long first, long last, const bf16 *matrix, float *out) {
    for (long n = first; n < last; n += TILE) _mm512_storeu_ps(out + n, _mm512_setzero_ps());
    for (long row = 0; row < rows; row++)
        for (long n = first; n < last; n += TILE) _mm512_storeu_ps(out + n, _mm512_add_ps(_mm512_loadu_ps(out + n), load(matrix + row * columns + n)));
}
