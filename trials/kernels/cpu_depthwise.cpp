// Depthwise convolution, whose input may be silu(scale * x + shift), computed while it is read.

#include "cpu_vectors.h"

namespace {

struct Geometry {
    int64_t images, height, width, channels, height_out, width_out, top, left;  // padding before: top, left
};

const int64_t SCRATCH = 48 * 1024;  // floats: what a strip of the input takes of the L2 cache

// Rows [from, from + rows) of W channels of an image into a scratch with zeros around: scratch row r is image
// row from + r, column q is image column q - left.
template <int W, class T, bool NORMED>
inline void fill_scratch(const T* image, const float* scale, const float* shift, float* scratch, int64_t from,
                         int64_t rows, int64_t left, int64_t columns, int64_t height, int64_t width,
                         int64_t channels) {
    Floats<W> k = {}, b = {};
    if (NORMED) {
        k = load<W>(scale);
        b = load<W>(shift);
    }
    for (int64_t r = 0; r < rows; r++) {
        const int64_t h = from + r;
        float* to = scratch + r * columns * W;
        if (h < 0 || h >= height) {
            std::memset(to, 0, sizeof(float) * columns * W);
            continue;
        }
        const int64_t stop = std::min(columns, width + left);
        std::memset(to, 0, sizeof(float) * std::min(left, columns) * W);
        if (stop < columns) std::memset(to + stop * W, 0, sizeof(float) * (columns - stop) * W);
        const T* row = image + h * width * channels;
        for (int64_t q = std::max<int64_t>(left, 0); q < stop; q++) {
            auto y = load<W>(row + (q - left) * channels);
            if (NORMED) {
                y = y * k + b;
                y = y * sigmoid<W>(y);
            }
            store<W>(to + q * W, y);
        }
    }
}

// z = conv(x, weight), weight (K * K, C); and each chunk's moments of z as `moments` gives them.
template <class T, int K, int S, bool NORMED>
void depthwise(const T* x, const float* scale, const float* shift, const float* weight, T* z, double* partial,
               int64_t first, int64_t last, int64_t chunks, Geometry g) {
    const int64_t columns = (g.width_out - 1) * S + K;
    const int64_t strip = std::max<int64_t>(1, std::min(g.height_out, (SCRATCH / 16 / columns - K) / S + 1));
    std::vector<float> scratch(((strip - 1) * S + K) * columns * 16);
    std::vector<float> origin(g.channels);
    std::vector<double> totals(2 * g.channels);
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t begin = begin_of(chunk, chunks, g.images), end = begin_of(chunk + 1, chunks, g.images);
        std::fill(totals.begin(), totals.end(), 0.0);
        for (int64_t n = begin; n < end; n++) {
            for (int64_t top = 0; top < g.height_out; top += strip) {
                const int64_t bottom = std::min(top + strip, g.height_out);
                for_eights(g.channels, [&](auto w, int64_t c) {
                    const T* image = x + n * g.height * g.width * g.channels + c;
                    fill_scratch<w, T, NORMED>(image, scale + c, shift + c, scratch.data(), top * S - g.top,
                                               (bottom - top - 1) * S + K, g.left, columns, g.height, g.width,
                                               g.channels);
                    Floats<w> taps[K * K];
#pragma GCC unroll 32
                    for (int t = 0; t < K * K; t++) taps[t] = load<w>(weight + t * g.channels + c);
                    Floats<w> o = {}, s = {}, q = {};
                    if (n > begin || top > 0) o = load<w>(&origin[c]);
                    for (int64_t ho = top; ho < bottom; ho++) {
                        T* to = z + ((n * g.height_out + ho) * g.width_out) * g.channels + c;
                        const float* above = scratch.data() + (ho - top) * S * columns * w;
                        for (int64_t wo = 0; wo < g.width_out; wo++) {
                            Floats<w> sum = {};
#pragma GCC unroll 8
                            for (int i = 0; i < K; i++)
#pragma GCC unroll 8
                                for (int j = 0; j < K; j++)
                                    sum += taps[i * K + j] * load<w>(above + (i * columns + wo * S + j) * w);
                            store<w>(to + wo * g.channels, sum);
                            const auto stored = load<w>(to + wo * g.channels);
                            if (n == begin && ho == 0 && wo == 0) {
                                o = stored;
                                store<w>(&origin[c], o);
                            }
                            const auto d = stored - o;
                            s += d;
                            q += d * d;
                        }
                    }
                    for (int i = 0; i < w; i++) {
                        totals[c + i] += s[i];
                        totals[g.channels + c + i] += q[i];
                    }
                });
            }
        }
        const double rows = double((end - begin) * g.height_out * g.width_out);
        double* out = partial + chunk * 2 * g.channels;
        for (int64_t c = 0; c < g.channels; c++) {
            const double mean = totals[c] / rows;
            out[c] = origin[c] + mean;
            out[g.channels + c] = std::max(0.0, totals[g.channels + c] - rows * mean * mean);
        }
    }
}

// The gradients of `depthwise`: of the weight for each chunk (chunks, K * K, C); and dx, the gradient of x,
// or, NORMED, of y = scale * x + shift, with each chunk's sums of dy and dy * (x - mean) * inverse.
template <class T, int K, int S, bool NORMED>
void depthwise_backward(const T* dz, const T* x, const float* scale, const float* shift, const float* mean,
                        const float* inverse, const float* weight, T* dx, float* weight_grad, float* result,
                        int64_t first, int64_t last, int64_t chunks, Geometry g) {
    // The taps that meet an input row h are those with i = (h + top) modulo S; their output row is
    // (h + top - i) / S, from -EDGE before the first to EDGE behind the last.
    const int64_t EDGE = (K - 1) / S + 1;
    const int64_t columns = (g.width_out - 1) * S + K;
    const int64_t strip = std::max<int64_t>(1, std::min(g.height_out, (SCRATCH / 16 / columns - K) / S + 1));
    const int64_t wide = g.width_out + 2 * EDGE;
    const int64_t tall = std::max<int64_t>(1, std::min(g.height, SCRATCH / 16 / wide * S - 2 * EDGE * S));
    std::vector<float> scratch(((strip - 1) * S + K) * columns * 16);
    std::vector<float> below((tall / S + 2 + 2 * EDGE) * wide * 16);
    std::vector<float> totals(2 * g.channels);
    for (int64_t chunk = first; chunk < last; chunk++) {
        float* own_grad = weight_grad + chunk * K * K * g.channels;
        std::memset(own_grad, 0, sizeof(float) * K * K * g.channels);
        std::fill(totals.begin(), totals.end(), 0.0f);
        for (int64_t n = begin_of(chunk, chunks, g.images); n < begin_of(chunk + 1, chunks, g.images); n++) {
            const T* image = x + n * g.height * g.width * g.channels;
            const T* gradient = dz + n * g.height_out * g.width_out * g.channels;
            // Step 1: the weight's gradient, strip by strip of output rows.
            for (int64_t top = 0; top < g.height_out; top += strip) {
                const int64_t bottom = std::min(top + strip, g.height_out);
                for_eights(g.channels, [&](auto w, int64_t c) {
                    fill_scratch<w, T, NORMED>(image + c, scale + c, shift + c, scratch.data(),
                                               top * S - g.top, (bottom - top - 1) * S + K, g.left, columns,
                                               g.height, g.width, g.channels);
                    Floats<w> taps[K * K];
#pragma GCC unroll 32
                    for (int t = 0; t < K * K; t++) taps[t] = load<w>(own_grad + t * g.channels + c);
                    for (int64_t ho = top; ho < bottom; ho++) {
                        const T* from = gradient + ho * g.width_out * g.channels + c;
                        const float* above = scratch.data() + (ho - top) * S * columns * w;
                        for (int64_t wo = 0; wo < g.width_out; wo++) {
                            const auto d = load<w>(from + wo * g.channels);
#pragma GCC unroll 8
                            for (int i = 0; i < K; i++)
#pragma GCC unroll 8
                                for (int j = 0; j < K; j++)
                                    taps[i * K + j] += d * load<w>(above + (i * columns + wo * S + j) * w);
                        }
                    }
#pragma GCC unroll 32
                    for (int t = 0; t < K * K; t++) store<w>(own_grad + t * g.channels + c, taps[t]);
                });
            }
            // Step 2: the input's gradient, strip by strip of input rows.
            for (int64_t top = 0; top < g.height; top += tall) {
                const int64_t bottom = std::min(top + tall, g.height);
                const int64_t from = (top + g.top) / S - EDGE;  // output row of the scratch's first row
                const int64_t rows = (bottom - 1 + g.top) / S + 1 - from;
                for_eights(g.channels, [&](auto w, int64_t c) {
                    fill_scratch<w, T, false>(gradient + c, nullptr, nullptr, below.data(), from, rows, EDGE,
                                              wide, g.height_out, g.width_out, g.channels);
                    Floats<w> taps[K * K];
#pragma GCC unroll 32
                    for (int t = 0; t < K * K; t++) taps[t] = load<w>(weight + t * g.channels + c);
                    Floats<w> k = {}, b = {}, m = {}, v = {}, s = {}, q = {};
                    if (NORMED) {
                        k = load<w>(scale + c);
                        b = load<w>(shift + c);
                        m = load<w>(mean + c);
                        v = load<w>(inverse + c);
                    }
                    auto finish = [&](int64_t h, int64_t column, Floats<w> sum) {
                        const int64_t at = (h * g.width + column) * g.channels + c;
                        if (NORMED) {
                            const auto value = load<w>(image + at);
                            const auto y = value * k + b, p = sigmoid<w>(y);
                            sum = sum * (p + y * p * (1.0f - p));
                            s += sum;
                            q += sum * ((value - m) * v);
                        }
                        store<w>(dx + n * g.height * g.width * g.channels + at, sum);
                    };
                    for (int64_t h = top; h < bottom; h++) {
                        const int64_t row = (h + g.top) / S - from;
                        for (int64_t column = 0; column < g.width; column++) {
                            const int64_t place = (column + g.left) / S + EDGE;
                            const float* here = below.data() + (row * wide + place) * w;
                            Floats<w> sum = {};
                            if (S == 1) {
#pragma GCC unroll 8
                                for (int i = 0; i < K; i++)
#pragma GCC unroll 8
                                    for (int j = 0; j < K; j++)
                                        sum += taps[i * K + j] * load<w>(here - (i * wide + j) * w);
                            } else {
                                const float* tap = weight + c;
                                for (int i = (h + g.top) % S; i < K; i += S)
                                    for (int j = (column + g.left) % S; j < K; j += S)
                                        sum += load<w>(tap + (i * K + j) * g.channels) *
                                               load<w>(here - (i / S * wide + j / S) * w);
                            }
                            finish(h, column, sum);
                        }
                    }
                    for (int i = 0; i < w; i++) {
                        totals[c + i] += s[i];
                        totals[g.channels + c + i] += q[i];
                    }
                });
            }
        }
        if (NORMED) std::memcpy(result + chunk * 2 * g.channels, totals.data(), sizeof(float) * 2 * g.channels);
    }
}

}  // namespace

extern "C" {

#define CHOOSE(T, FUNCTION, NORMED)                                                                           \
    if (kernel == 3 && stride == 1) run = NORMED ? FUNCTION<T, 3, 1, true> : FUNCTION<T, 3, 1, false>;        \
    if (kernel == 3 && stride == 2) run = NORMED ? FUNCTION<T, 3, 2, true> : FUNCTION<T, 3, 2, false>;        \
    if (kernel == 5 && stride == 1) run = NORMED ? FUNCTION<T, 5, 1, true> : FUNCTION<T, 5, 1, false>;        \
    if (kernel == 5 && stride == 2) run = NORMED ? FUNCTION<T, 5, 2, true> : FUNCTION<T, 5, 2, false>

#define FOR_TYPE(T, NAME)\
    int depthwise_##NAME(const T* x, const float* scale, const float* shift, const float* weight, T* z,       \
                         double* partial, int kernel, int stride, RANGE, const Geometry* g) {                 \
        void (*run)(const T*, const float*, const float*, const float*, T*, double*, int64_t, int64_t,        \
                    int64_t, Geometry) = nullptr;                                                             \
        CHOOSE(T, depthwise, scale);                                                                          \
        if (!run) return 1;                                                                                   \
        run(x, scale, shift, weight, z, partial, first, last, chunks, *g);                                    \
        return 0;                                                                                             \
    }                                                                                                         \
    int depthwise_backward_##NAME(const T* dz, const T* x, const float* scale, const float* shift,            \
                                  const float* mean, const float* inverse, const float* weight, T* dx,        \
                                  float* weight_grad, float* result, int kernel, int stride, RANGE,           \
                                  const Geometry* g) {                                                        \
        void (*run)(const T*, const T*, const float*, const float*, const float*, const float*,               \
                    const float*, T*, float*, float*, int64_t, int64_t, int64_t, Geometry) = nullptr;         \
        CHOOSE(T, depthwise_backward, scale);                                                                 \
        if (!run) return 1;                                                                                   \
        run(dz, x, scale, shift, mean, inverse, weight, dx, weight_grad, result, first, last, chunks, *g);    \
        return 0;                                                                                             \
    }

FOR_TYPE(float, float32)
FOR_TYPE(bf16, bfloat16)
}
