// Vectors of channels, in float32 whatever the type in memory, and the parts that a batch is computed in.
//
// Activations are (N, P, C): images, pixels, channels, as channels_last tensors lie in memory, in float32 or
// bfloat16; all arithmetic is in float32. Functions take a range [first, last) of `chunks` equal parts of the
// images, so that several threads share a call; sums over images are written once per chunk, which keeps
// results independent of the number of threads.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

struct bf16 {
    uint16_t bits;
};

// W channels at once: wider than a register on older processors, where they become several.

template <int W>
struct Vector {
    typedef float Floats __attribute__((vector_size(W * 4)));
    typedef int32_t Integers __attribute__((vector_size(W * 4)));
    typedef uint32_t Words __attribute__((vector_size(W * 4)));
    typedef uint16_t Halves __attribute__((vector_size(W * 2)));
};

template <int W>
using Floats = typename Vector<W>::Floats;

template <int W>
inline Floats<W> load(const float* from) {
    Floats<W> values;
    std::memcpy(&values, from, sizeof values);
    return values;
}

template <int W>
inline Floats<W> load(const bf16* from) {
    typename Vector<W>::Halves halves;
    std::memcpy(&halves, from, sizeof halves);
    typename Vector<W>::Words words = __builtin_convertvector(halves, typename Vector<W>::Words) << 16;
    Floats<W> values;
    std::memcpy(&values, &words, sizeof values);
    return values;
}

template <int W>
inline void store(float* to, Floats<W> values) {
    std::memcpy(to, &values, sizeof values);
}

// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
template <int W>
inline void store(bf16* to, Floats<W> values) {
    typename Vector<W>::Words words;
    std::memcpy(&words, &values, sizeof words);
    words = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
    words = (values != values) ? (words & 0) + 0x7fc0 : words;
    typename Vector<W>::Halves halves = __builtin_convertvector(words, typename Vector<W>::Halves);
    std::memcpy(to, &halves, sizeof halves);
}

template <int W>
inline Floats<W> broadcast(float value) {
    return Floats<W>{} + value;
}

template <int W>
inline Floats<W> reciprocal(Floats<W> values) {
    return 1.0f / values;
}

#if defined(__AVX512F__)
template <>
inline Floats<16> reciprocal<16>(Floats<16> values) {
    __m512 x, r;
    std::memcpy(&x, &values, sizeof x);
    r = _mm512_rcp14_ps(x);  // relative error 2^-14; one Newton step squares it
    r = _mm512_mul_ps(r, _mm512_fnmadd_ps(x, r, _mm512_set1_ps(2.0f)));
    Floats<16> result;
    std::memcpy(&result, &r, sizeof result);
    return result;
}
#endif

// 1 / (1 + exp(-y)). exp(x) = 2^n * 2^f with n the nearest integer to x / ln 2; 2^f by its Taylor
// polynomial, whose relative error on [-1/2, 1/2] is below 3e-7.
template <int W>
inline Floats<W> sigmoid(Floats<W> y) {
    Floats<W> x = -y;
    x = (x > 87.0f) ? broadcast<W>(87.0f) : x;
    x = (x < -87.0f) ? broadcast<W>(-87.0f) : x;
    const Floats<W> t = x * 1.44269504f;
    const Floats<W> shifted = t + 12582912.0f;  // 1.5 * 2^23: its last bits are the nearest integer
    const Floats<W> f = t - (shifted - 12582912.0f);
    Floats<W> p = f * 1.54035304e-4f + 1.33335581e-3f;
    p = p * f + 9.61812911e-3f;
    p = p * f + 5.55041087e-2f;
    p = p * f + 2.40226507e-1f;
    p = p * f + 6.93147181e-1f;
    p = p * f + 1.0f;
    typename Vector<W>::Integers bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4b400000 + 127) << 23;
    Floats<W> power;
    std::memcpy(&power, &bits, sizeof power);
    return reciprocal<W>(1.0f + p * power);
}

#if defined(__AVX512BF16__)
template <>
inline void store<16>(bf16* to, Floats<16> values) {
    __m512 x;
    std::memcpy(&x, &values, sizeof x);
    const __m256bh halves = _mm512_cvtneps_pbh(x);
    std::memcpy(to, &halves, sizeof halves);
}
#endif

// Calls body(W, c) for all channels, 16 at once, then 8, then one by one.
template <class Body>
inline void for_channels(int64_t channels, Body body) {
    int64_t c = 0;
    for (; c + 16 <= channels; c += 16) body(std::integral_constant<int, 16>{}, c);
    for (; c + 8 <= channels; c += 8) body(std::integral_constant<int, 8>{}, c);
    for (; c < channels; c++) body(std::integral_constant<int, 1>{}, c);
}

// The same for a multiple of 8 channels: a third less to compile.
template <class Body>
inline void for_eights(int64_t channels, Body body) {
    int64_t c = 0;
    for (; c + 16 <= channels; c += 16) body(std::integral_constant<int, 16>{}, c);
    for (; c + 8 <= channels; c += 8) body(std::integral_constant<int, 8>{}, c);
}

inline int64_t begin_of(int64_t chunk, int64_t chunks, int64_t images) { return chunk * images / chunks; }

#define RANGE int64_t first, int64_t last, int64_t chunks
#define SHAPE int64_t images, int64_t pixels, int64_t channels

}  // namespace
