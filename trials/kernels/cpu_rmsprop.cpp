// The optimizer's update in one pass over memory.

#include <cmath>
#include <cstdint>

extern "C" {

// RMSProp as TensorFlow defines it; see trials/training/rmsprop.py.
void rmsprop(float* __restrict values, const float* __restrict grads, float* __restrict squares,
             float* __restrict velocity, int64_t size, float weight_decay, float decay, float momentum,
             float epsilon, float rate) {
    for (int64_t i = 0; i < size; i++) {
        const float g = grads[i] + weight_decay * values[i];
        const float s = squares[i] * decay + (1.0f - decay) * g * g;
        const float m = velocity[i] * momentum + rate * g / std::sqrt(s + epsilon);
        squares[i] = s;
        velocity[i] = m;
        values[i] -= m;
    }
}
}
