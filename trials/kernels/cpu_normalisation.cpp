// Batch norm with activation, gates and residual, each function in one pass over memory.

#include "cpu_vectors.h"

namespace {

const int64_t BLOCK = 256;  // rows whose float sums are added to double ones at once

// ---- Batch norm's statistics.

// Mean and sum of squared deviations (chunks, 2, C) of each chunk, relative to the chunk's first row, so that
// a large mean takes no digits from the variance.
template <class T>
void moments(const T* z, double* partial, int64_t first, int64_t last, int64_t chunks, int64_t images,
             int64_t pixels, int64_t channels) {
    std::vector<float> sums(2 * channels), origin(channels);
    std::vector<double> totals(2 * channels);
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t begin = begin_of(chunk, chunks, images) * pixels;
        const int64_t end = begin_of(chunk + 1, chunks, images) * pixels;
        for_channels(channels, [&](auto w, int64_t c) {
            store<w>(&origin[c], load<w>(z + begin * channels + c));
        });
        std::fill(totals.begin(), totals.end(), 0.0);
        for (int64_t block = begin; block < end; block += BLOCK) {
            const int64_t stop = std::min(block + BLOCK, end);
            std::fill(sums.begin(), sums.end(), 0.0f);
            int64_t row = block;
            auto add = [&](auto rows) {
                const T* at = z + row * channels;
                for_channels(channels, [&](auto w, int64_t c) {
                    const auto o = load<w>(&origin[c]);
                    auto s = load<w>(&sums[c]), q = load<w>(&sums[channels + c]);
#pragma GCC unroll 8
                    for (int i = 0; i < rows; i++) {
                        const auto d = load<w>(at + i * channels + c) - o;
                        s += d;
                        q += d * d;
                    }
                    store<w>(&sums[c], s);
                    store<w>(&sums[channels + c], q);
                });
                row += rows;
            };
            while (row + 8 <= stop) add(std::integral_constant<int, 8>{});
            while (row < stop) add(std::integral_constant<int, 1>{});
            for (int64_t c = 0; c < 2 * channels; c++) totals[c] += sums[c];
        }
        const double rows = double(end - begin);
        double* out = partial + chunk * 2 * channels;
        for (int64_t c = 0; c < channels; c++) {
            const double mean = totals[c] / rows;
            out[c] = origin[c] + mean;
            out[channels + c] = std::max(0.0, totals[channels + c] - rows * mean * mean);
        }
    }
}

// ---- Activation, gates, residual.

// (N, C) means over the pixels of silu(scale * z + shift).
template <class T>
void pool(const T* z, const float* scale, const float* shift, float* means, int64_t first, int64_t last,
          int64_t chunks, int64_t images, int64_t pixels, int64_t channels) {
    const int64_t begin = begin_of(first, chunks, images), end = begin_of(last, chunks, images);
    for (int64_t n = begin; n < end; n++) {
        float* sum = means + n * channels;
        std::fill(sum, sum + channels, 0.0f);
        int64_t p = 0;
        auto add = [&](auto rows) {
            const T* at = z + (n * pixels + p) * channels;
            for_channels(channels, [&](auto w, int64_t c) {
                const auto k = load<w>(scale + c), b = load<w>(shift + c);
                auto s = load<w>(sum + c);
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++) {
                    const auto y = load<w>(at + i * channels + c) * k + b;
                    s += y * sigmoid<w>(y);
                }
                store<w>(sum + c, s);
            });
            p += rows;
        };
        while (p + 4 <= pixels) add(std::integral_constant<int, 4>{});
        while (p < pixels) add(std::integral_constant<int, 1>{});
        const float share = 1.0f / float(pixels);
        for (int64_t c = 0; c < channels; c++) sum[c] *= share;
    }
}

// out = residual + factor * act(scale * z + shift); residual (N, P, C) and factor (N, C) may be null.
template <class T, bool ACTIVE>
void apply(const T* z, const float* scale, const float* shift, const float* factor, const T* residual, T* out,
           int64_t first, int64_t last, int64_t chunks, int64_t images, int64_t pixels, int64_t channels) {
    const int64_t begin = begin_of(first, chunks, images), end = begin_of(last, chunks, images);
    for (int64_t row = begin * pixels; row < end * pixels; row++) {
        const float* own = factor ? factor + row / pixels * channels : nullptr;
        const T* at = z + row * channels;
        const T* added = residual ? residual + row * channels : nullptr;
        T* to = out + row * channels;
        for_channels(channels, [&](auto w, int64_t c) {
            auto y = load<w>(at + c) * load<w>(scale + c) + load<w>(shift + c);
            if (ACTIVE) y = y * sigmoid<w>(y);
            if (own) y = y * load<w>(own + c);
            if (added) y = y + load<w>(added + c);
            store<w>(to + c, y);
        });
    }
}

// Sums over pixels for the gradient of out = factor * act(y), y = gamma * x + beta, x = (z - mean) * inverse.
// With s' = act'(y) and the output's gradient g; GATED, for each image (N, 5, C):
//     sum g * act(y), sum g * s', sum g * s' * x, sum s', sum s' * x;
// else, for each chunk (chunks, 2, C): sum factor * g * s', sum factor * g * s' * x.
template <class T, bool ACTIVE, bool GATED>
void sums(const T* g, const T* z, const float* scale, const float* shift, const float* mean,
          const float* inverse, const float* factor, float* result, int64_t first, int64_t last,
          int64_t chunks, int64_t images, int64_t pixels, int64_t channels) {
    const int number = GATED ? 5 : 2;
    std::vector<double> totals(GATED ? 0 : 2 * channels);
    std::vector<float> of_image(number * channels);
    for (int64_t chunk = first; chunk < last; chunk++) {
        std::fill(totals.begin(), totals.end(), 0.0);
        for (int64_t n = begin_of(chunk, chunks, images); n < begin_of(chunk + 1, chunks, images); n++) {
            float* sum = GATED ? result + n * 5 * channels : of_image.data();
            std::fill(sum, sum + number * channels, 0.0f);
            int64_t p = 0;
            auto add = [&](auto rows) {
                const int64_t at = (n * pixels + p) * channels;
                for_channels(channels, [&](auto w, int64_t c) {
                    const auto k = load<w>(scale + c), b = load<w>(shift + c);
                    const auto m = load<w>(mean + c), v = load<w>(inverse + c);
                    Floats<w> s[number];
#pragma GCC unroll 8
                    for (int j = 0; j < number; j++) s[j] = load<w>(sum + j * channels + c);
#pragma GCC unroll 8
                    for (int i = 0; i < rows; i++) {
                        const auto value = load<w>(z + at + i * channels + c);
                        const auto gradient = load<w>(g + at + i * channels + c);
                        const auto x = (value - m) * v;
                        auto slope = broadcast<w>(1.0f), a = value;
                        if (ACTIVE) {
                            const auto y = value * k + b, q = sigmoid<w>(y);
                            a = y * q;
                            slope = q + a * (1.0f - q);
                        }
                        const auto d = gradient * slope;
                        if (GATED) {
                            s[0] += gradient * a;
                            s[1] += d;
                            s[2] += d * x;
                            s[3] += slope;
                            s[4] += slope * x;
                        } else {
                            s[0] += d;
                            s[1] += d * x;
                        }
                    }
#pragma GCC unroll 8
                    for (int j = 0; j < number; j++) store<w>(sum + j * channels + c, s[j]);
                });
                p += rows;
            };
            while (p + 4 <= pixels) add(std::integral_constant<int, 4>{});
            while (p < pixels) add(std::integral_constant<int, 1>{});
            if (!GATED) {
                for (int64_t c = 0; c < channels; c++) {
                    const double own = factor ? factor[n * channels + c] : 1.0f;
                    totals[c] += own * sum[c];
                    totals[channels + c] += own * sum[channels + c];
                }
            }
        }
        if (!GATED) {
            for (int64_t c = 0; c < 2 * channels; c++) result[chunk * 2 * channels + c] = float(totals[c]);
        }
    }
}

// dz = gain * dy + slant * z + offset with dy = (factor * g + addend) * act'(y); factor and addend (N, C) may
// be null. Batch norm's gradient, with coefficients from the sums of dy.
template <class T, bool ACTIVE>
void apply_backward(const T* g, const T* z, const float* scale, const float* shift, const float* factor,
                    const float* addend, const float* gain, const float* slant, const float* offset, T* dz,
                    int64_t first, int64_t last, int64_t chunks, int64_t images, int64_t pixels,
                    int64_t channels) {
    const int64_t begin = begin_of(first, chunks, images), end = begin_of(last, chunks, images);
    for (int64_t row = begin * pixels; row < end * pixels; row++) {
        const int64_t n = row / pixels;
        const float* own = factor ? factor + n * channels : nullptr;
        const float* added = addend ? addend + n * channels : nullptr;
        for_channels(channels, [&](auto w, int64_t c) {
            const int64_t at = row * channels + c;
            const auto value = load<w>(z + at);
            auto d = load<w>(g + at);
            if (own) d = d * load<w>(own + c);
            if (added) d = d + load<w>(added + c);
            if (ACTIVE) {
                const auto y = value * load<w>(scale + c) + load<w>(shift + c), q = sigmoid<w>(y);
                d = d * (q + y * q * (1.0f - q));
            }
            store<w>(dz + at, d * load<w>(gain + c) + value * load<w>(slant + c) + load<w>(offset + c));
        });
    }
}

}  // namespace

extern "C" {

// Scale and shift of y = scale * z + shift, mean and inverse deviation (C each) from the chunks' moments;
// running statistics as torch's, with the unbiased variance.
void statistics(const double* partial, int64_t chunks, int64_t images, int64_t pixels, int64_t channels,
                const float* gamma, const float* beta, float epsilon, float momentum, float* running_mean,
                float* running_variance, float* scale, float* shift, float* mean, float* inverse) {
    const double rows = double(images * pixels);
    for (int64_t c = 0; c < channels; c++) {
        double average = 0, squares = 0;
        for (int64_t k = 0; k < chunks; k++) {
            const double own = double((begin_of(k + 1, chunks, images) - begin_of(k, chunks, images)) * pixels);
            average += own / rows * partial[k * 2 * channels + c];
        }
        for (int64_t k = 0; k < chunks; k++) {
            const double own = double((begin_of(k + 1, chunks, images) - begin_of(k, chunks, images)) * pixels);
            const double off = partial[k * 2 * channels + c] - average;
            squares += partial[(k * 2 + 1) * channels + c] + own * off * off;
        }
        const double variance = squares / rows;
        mean[c] = float(average);
        inverse[c] = float(1.0 / std::sqrt(variance + epsilon));
        scale[c] = gamma[c] * inverse[c];
        shift[c] = beta[c] - mean[c] * scale[c];
        running_mean[c] += momentum * (mean[c] - running_mean[c]);
        const float unbiased = float(squares / std::max(rows - 1, 1.0));
        running_variance[c] += momentum * (unbiased - running_variance[c]);
    }
}

// Batch norm's gradients of gamma and beta from the sums of dy and dy * x (chunks, 2, C), and the
// coefficients of apply_backward.
void coefficients(const float* partial, int64_t chunks, int64_t rows, int64_t channels, const float* scale,
                  const float* mean, const float* inverse, float* gamma_grad, float* beta_grad, float* gain,
                  float* slant, float* offset) {
    for (int64_t c = 0; c < channels; c++) {
        double dy = 0, dyx = 0;
        for (int64_t k = 0; k < chunks; k++) {
            dy += partial[k * 2 * channels + c];
            dyx += partial[(k * 2 + 1) * channels + c];
        }
        beta_grad[c] = float(dy);
        gamma_grad[c] = float(dyx);
        gain[c] = scale[c];
        slant[c] = float(-scale[c] * inverse[c] * dyx / double(rows));
        offset[c] = float(-scale[c] * dy / double(rows)) - slant[c] * mean[c];
    }
}

#define FOR_TYPE(T, NAME)                                                                                     \
    void moments_##NAME(const T* z, double* partial, RANGE, SHAPE) {                                          \
        moments(z, partial, first, last, chunks, images, pixels, channels);                                   \
    }                                                                                                         \
    void pool_##NAME(const T* z, const float* scale, const float* shift, float* means, RANGE, SHAPE) {        \
        pool(z, scale, shift, means, first, last, chunks, images, pixels, channels);                          \
    }                                                                                                         \
    void apply_##NAME(const T* z, const float* scale, const float* shift, const float* factor,                \
                      const T* residual, T* out, int active, RANGE, SHAPE) {                                  \
        (active ? apply<T, true> : apply<T, false>)(z, scale, shift, factor, residual, out, first, last,      \
                                                    chunks, images, pixels, channels);                        \
    }                                                                                                         \
    void sums_##NAME(const T* g, const T* z, const float* scale, const float* shift, const float* mean,       \
                     const float* inverse, const float* factor, float* result, int active, int gated, RANGE,  \
                     SHAPE) {                                                                                 \
        (gated ? sums<T, true, true> : active ? sums<T, true, false> : sums<T, false, false>)(                \
            g, z, scale, shift, mean, inverse, factor, result, first, last, chunks, images, pixels,           \
            channels);                                                                                        \
    }                                                                                                         \
    void apply_backward_##NAME(const T* g, const T* z, const float* scale, const float* shift,                \
                               const float* factor, const float* addend, const float* gain,                   \
                               const float* slant, const float* offset, T* dz, int active, RANGE, SHAPE) {    \
        (active ? apply_backward<T, true> : apply_backward<T, false>)(g, z, scale, shift, factor, addend,     \
                                                                      gain, slant, offset, dz, first, last,   \
                                                                      chunks, images, pixels, channels);      \
    }

FOR_TYPE(float, float32)
FOR_TYPE(bf16, bfloat16)
}
