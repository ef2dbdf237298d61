// The padded crop and RandAugment on a CPU: each image goes through all its changes in the core's cache.
//
// The results are to the bit those of trials/augmentation/{augment,grouped}.py, so the operations on floating
// point are theirs, in their order, and the compiler must not contract them (-ffp-contract=off).

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef __AVX512VBMI__
#include <immintrin.h>
#endif

namespace {

using Byte = uint8_t;

constexpr Byte FILL = 128;  // mid grey
constexpr int64_t LEVELS = 256;
constexpr int64_t SPARE = 64;  // bytes behind an image: FILL, and what wide stores write too much

// The operations, in the order of trials/augmentation/operations.py.
enum Operation { BRIGHTNESS = 4, AUTO_CONTRAST, EQUALIZE, CONTRAST, COLOR, SHARPNESS, ROTATE, CUTOUT = 15 };
constexpr int64_t OPERATIONS = 16;
constexpr int64_t DRAWS = 3;  // which operation; its sign or row; its column

struct Sizes {
    int64_t height, width;
    int64_t pixels() const { return height * width; }
    int64_t bytes() const { return 3 * height * width; }
};

// As in Pillow: clamped, then truncated.
template <typename Number>
inline Byte grey_level(Number value) {
    return static_cast<Byte>(std::min<Number>(std::max<Number>(value, 0), 255));
}

// Pillow's blend of a plain image and its values; three roundings, as of three operators.
inline Byte blended(float plain, float value, float factor) {
    const float difference = value - plain;
    const float scaled = difference * factor;
    return grey_level(scaled + plain);
}

// Luma in Pillow's fixed-point arithmetic.
inline int grey(const Byte* pixel) {
    return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 0x8000) >> 16;
}

#ifdef __AVX512VBMI__
struct Table {
    __m512i parts[4];
    explicit Table(const Byte* levels) {
        for (int i = 0; i < 4; i++) parts[i] = _mm512_loadu_si512(levels + 64 * i);
    }
    __m512i operator()(__m512i values) const {
        const __m512i low = _mm512_permutex2var_epi8(parts[0], values, parts[1]);
        const __m512i high = _mm512_permutex2var_epi8(parts[2], values, parts[3]);
        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(values), low, high);
    }
};
#endif

// Replaces every grey level by that of its table.
void look_up(const Byte* in, Byte* out, int64_t bytes, const Byte* table) {
    int64_t i = 0;
#ifdef __AVX512VBMI__
    const Table levels(table);
    for (; i + 64 <= bytes; i += 64) _mm512_storeu_si512(out + i, levels(_mm512_loadu_si512(in + i)));
#endif
    for (; i < bytes; i++) out[i] = table[in[i]];
}

// The same with a table for each channel.
void look_up_channels(const Byte* in, Byte* out, int64_t bytes, const Byte* tables) {
    int64_t i = 0;
#ifdef __AVX512VBMI__
    const Table red(tables), green(tables + LEVELS), blue(tables + 2 * LEVELS);
    __mmask64 greens[3], blues[3];  // of three vectors in a row
    for (int part = 0; part < 3; part++) {
        greens[part] = blues[part] = 0;
        for (int j = 0; j < 64; j++) {
            greens[part] |= static_cast<__mmask64>((64 * part + j) % 3 == 1) << j;
            blues[part] |= static_cast<__mmask64>((64 * part + j) % 3 == 2) << j;
        }
    }
    for (; i + 192 <= bytes; i += 192)
        for (int part = 0; part < 3; part++) {
            const __m512i values = _mm512_loadu_si512(in + i + 64 * part);
            __m512i found = _mm512_mask_blend_epi8(greens[part], red(values), green(values));
            found = _mm512_mask_blend_epi8(blues[part], found, blue(values));
            _mm512_storeu_si512(out + i + 64 * part, found);
        }
#endif
    for (; i < bytes; i += 3)
        for (int c = 0; c < 3; c++) out[i + c] = tables[LEVELS * c + in[i + c]];
}

// Stretches each channel's levels to 0-255.
void auto_contrast(const Byte* in, Byte* out, int64_t bytes) {
    // Step 1: the extremes of each channel, 64 pixels at once.
    constexpr int64_t WIDE = 192;
    Byte low[WIDE], high[WIDE], tables[3 * LEVELS];
    std::fill(low, low + WIDE, 255);
    std::fill(high, high + WIDE, 0);
    int64_t i = 0;
    for (; i + WIDE <= bytes; i += WIDE)
        for (int64_t j = 0; j < WIDE; j++) {
            low[j] = std::min(low[j], in[i + j]);
            high[j] = std::max(high[j], in[i + j]);
        }
    for (int64_t j = 0; i + j < bytes; j++) {
        low[j] = std::min(low[j], in[i + j]);
        high[j] = std::max(high[j], in[i + j]);
    }
    for (int64_t j = 3; j < WIDE; j++) {
        low[j % 3] = std::min(low[j % 3], low[j]);
        high[j % 3] = std::max(high[j % 3], high[j]);
    }
    // Step 2: their tables; a channel of one level is left as it is.
    for (int c = 0; c < 3; c++) {
        const bool stretches = high[c] > low[c];
        const double scale = stretches ? 255.0 / (high[c] - low[c]) : 1.0;
        const double offset = stretches ? -double(low[c]) * scale : 0.0;
        for (int64_t v = 0; v < LEVELS; v++) {
            const double scaled = double(v) * scale;
            tables[LEVELS * c + v] = grey_level(scaled + offset);
        }
    }
    look_up_channels(in, out, bytes, tables);
}

// Histogram equalisation in Pillow's whole numbers.
void equalize(const Byte* in, Byte* out, int64_t bytes) {
    // Step 1: histograms, two of each channel: additions to one place wait for each other.
    uint32_t counts[6 * LEVELS] = {};
    int64_t i = 0;
    for (; i + 6 <= bytes; i += 6)
        for (int64_t j = 0; j < 6; j++) counts[LEVELS * j + in[i + j]]++;
    for (int64_t j = 0; i + j < bytes; j++) counts[LEVELS * j + in[i + j]]++;
    // Step 2: a level maps to the number of darker pixels, in steps.
    Byte tables[3 * LEVELS];
    for (int64_t c = 0; c < 3; c++) {
        uint32_t* here = counts + LEVELS * c;
        int64_t darker = 0, most = 0;
        for (int64_t v = 0; v < LEVELS; v++) {
            here[v] += here[3 * LEVELS + v];
            if (here[v]) most = darker;  // not counting those of the brightest that occurs
            darker += here[v];
        }
        const int64_t step = most / 255;
        darker = step / 2;
        for (int64_t v = 0; v < LEVELS; v++) {
            tables[LEVELS * c + v] = step ? grey_level(darker / step) : Byte(v);
            darker += here[v];
        }
    }
    look_up_channels(in, out, bytes, tables);
}

// Away from the mean grey, or towards it.
void contrast(const Byte* in, Byte* out, int64_t pixels, float factor) {
    int64_t sum = 0;
    for (int64_t p = 0; p < pixels; p++) sum += grey(in + 3 * p);
    const float mean = static_cast<float>((2 * sum + pixels) / (2 * pixels));
    Byte table[LEVELS];
    for (int64_t v = 0; v < LEVELS; v++) table[v] = blended(mean, static_cast<float>(v), factor);
    look_up(in, out, 3 * pixels, table);
}

// Away from each pixel's grey, or towards it.
void color(const Byte* in, Byte* out, int64_t pixels, float factor) {
    constexpr int64_t MOST = 256;  // pixels at once, so that their greys can be computed as vectors
    float greys[3 * MOST];
    for (int64_t first = 0; first < pixels; first += MOST) {
        const int64_t count = std::min(MOST, pixels - first);
        const Byte* from = in + 3 * first;
        Byte* to = out + 3 * first;
        for (int64_t p = 0; p < count; p++) {
            const float plain = static_cast<float>(grey(from + 3 * p));
            greys[3 * p] = greys[3 * p + 1] = greys[3 * p + 2] = plain;
        }
        for (int64_t i = 0; i < 3 * count; i++) to[i] = blended(greys[i], from[i], factor);
    }
}

// Away from a blurred image, or towards it; the border stays.
void sharpness(const Byte* in, Byte* out, Sizes sizes, float factor) {
    const int64_t row = 3 * sizes.width;
    std::memcpy(out, in, sizes.bytes());
    std::vector<int16_t> columns(row);
    for (int64_t y = 1; y + 1 < sizes.height; y++) {
        const Byte* middle = in + y * row;
        for (int64_t x = 0; x < row; x++) columns[x] = int16_t(middle[x - row] + middle[x] + middle[x + row]);
        for (int64_t x = 3; x < row - 3; x++) {
            const int sum = columns[x - 3] + columns[x] + columns[x + 3] + 4 * middle[x];
            // Rounded; no sum lies so near to a border that it matters how 1 / 13 is.
            const float blurred = std::floor((static_cast<float>(sum) + 6.5f) / 13.0f);
            out[y * row + x] = blended(blurred, middle[x], factor);
        }
    }
}

// Each pixel from its source; `places` has the pixel behind the image for those from outside.
void move(const Byte* in, Byte* out, int64_t pixels, const int32_t* places) {
    for (int64_t p = 0; p < pixels; p++) std::memcpy(out + 3 * p, in + 3 * places[p], 4);  // one byte too many
}

void cutout(const Byte* in, Byte* out, Sizes sizes, const float* draws, int64_t half) {
    std::memcpy(out, in, sizes.bytes());
    const int64_t y = static_cast<int64_t>(draws[1] * static_cast<float>(sizes.height));
    const int64_t x = static_cast<int64_t>(draws[2] * static_cast<float>(sizes.width));
    const int64_t left = std::max<int64_t>(0, x - half), right = std::min(sizes.width, x + half);
    if (left >= right) return;
    for (int64_t at = std::max<int64_t>(0, y - half); at < std::min(sizes.height, y + half); at++)
        std::memset(out + 3 * (at * sizes.width + left), FILL, 3 * (right - left));
}

struct Strength {
    const Byte* tables;     // (5, 256), of the operations up to BRIGHTNESS
    const int32_t* places;  // (12, H * W)
    float factor;
    int64_t half;
};

void change(const Byte* in, Byte* out, Sizes sizes, const float* draws, const Strength& strength) {
    const int64_t code = static_cast<int64_t>(draws[0] * OPERATIONS);
    if (code <= BRIGHTNESS) return look_up(in, out, sizes.bytes(), strength.tables + LEVELS * code);
    if (code == AUTO_CONTRAST) return auto_contrast(in, out, sizes.bytes());
    if (code == EQUALIZE) return equalize(in, out, sizes.bytes());
    if (code == CONTRAST) return contrast(in, out, sizes.pixels(), strength.factor);
    if (code == COLOR) return color(in, out, sizes.pixels(), strength.factor);
    if (code == SHARPNESS) return sharpness(in, out, sizes, strength.factor);
    if (code >= CUTOUT) return cutout(in, out, sizes, draws, strength.half);
    const int64_t row = 2 * (code - ROTATE) + (draws[1] >= 0.5f);
    move(in, out, sizes.pixels(), strength.places + row * sizes.pixels());
}

void crop(const Byte* in, Byte* out, Sizes sizes, int64_t top, int64_t left, bool mirrored) {
    // Rows and columns of the image that the crop shows; beyond them it shows FILL.
    const int64_t height = sizes.height, width = sizes.width;
    const int64_t first_row = std::max<int64_t>(0, -top), end_row = std::min(height, height - top);
    const int64_t first = std::max<int64_t>(0, -left), end = std::min(width, width - left);
    if (end_row - first_row < height || end - first < width) std::memset(out, FILL, sizes.bytes());
    for (int64_t y = first_row; y < end_row; y++) {
        const Byte* from = in + 3 * ((y + top) * width + left);
        Byte* to = out + 3 * y * width;
        if (!mirrored) {
            std::memcpy(to + 3 * first, from + 3 * first, 3 * std::max<int64_t>(0, end - first));
            continue;
        }
        for (int64_t x = first; x < end; x++) {
            Byte* pixel = to + 3 * (width - 1 - x);
            pixel[0] = from[3 * x], pixel[1] = from[3 * x + 1], pixel[2] = from[3 * x + 2];
        }
    }
}

}  // namespace

extern "C" {

// `layers` operations on each image (H, W, 3); uniforms are (count, layers, DRAWS).
void rand_augment(const uint8_t* images, uint8_t* results, const float* uniforms, const uint8_t* tables,
                  const int32_t* places, float factor, int64_t half, int64_t first_chunk, int64_t end_chunk,
                  int64_t chunks, int64_t count, int64_t height, int64_t width, int64_t layers) {
    const Sizes sizes{height, width};
    const Strength strength{tables, places, factor, half};
    const int64_t bytes = sizes.bytes();
    std::vector<Byte> from(bytes + SPARE), to(bytes + SPARE);
    for (int64_t i = count * first_chunk / chunks; i < count * end_chunk / chunks; i++) {
        std::memcpy(from.data(), images + i * bytes, bytes);
        for (int64_t layer = 0; layer < layers; layer++) {
            std::memset(from.data() + bytes, FILL, 4);  // the pixel outside
            change(from.data(), to.data(), sizes, uniforms + (i * layers + layer) * DRAWS, strength);
            std::swap(from, to);
        }
        std::memcpy(results + i * bytes, from.data(), bytes);
    }
}

// Crops of padded images (H, W, 3), of their size; uniforms are (count, 3): row, column and mirroring.
void crop_and_flip(const uint8_t* images, uint8_t* results, const float* uniforms, int64_t padding,
                   int64_t flips, int64_t first_chunk, int64_t end_chunk, int64_t chunks, int64_t count,
                   int64_t height, int64_t width) {
    const Sizes sizes{height, width};
    const float positions = static_cast<float>(2 * padding + 1);
    for (int64_t i = count * first_chunk / chunks; i < count * end_chunk / chunks; i++) {
        const float* draws = uniforms + 3 * i;
        const int64_t top = static_cast<int64_t>(draws[0] * positions) - padding;
        const int64_t left = static_cast<int64_t>(draws[1] * positions) - padding;
        crop(images + i * sizes.bytes(), results + i * sizes.bytes(), sizes, top, left,
             flips && draws[2] < 0.5f);
    }
}
}
