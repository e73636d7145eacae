/*
 * csc_check.cpp: lists by latent (csc.cu), over the emulated GPU, against a stable sort: short lists, lists of several
 * windows of rows, latents that fire on every row or never, rows without positive values.
 */
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "../../../main/native/cuda/train/csc.h"
#include "../reference.h"

namespace {

using sae::cuda::DeviceMemory;

int failures = 0;

void expect(bool good, const std::string &what) {
    if (!good) {
        std::fprintf(stderr, "FAILED: %s\n", what.c_str());
        failures++;
    }
}

template <typename T>
int64_t bytes_of(const std::vector<T> &values) {
    return static_cast<int64_t>(values.size() * sizeof(T));
}

template <typename T>
DeviceMemory on_device(const std::vector<T> &values) {
    DeviceMemory memory(std::max<int64_t>(bytes_of(values), 4)); // an allocation has at least one element
    cudaMemcpyAsync(memory.as<T>(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, nullptr);
    return memory;
}

template <typename T>
std::vector<T> from_device(const DeviceMemory &memory, int64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    cudaMemcpyAsync(values.data(), memory.as<T>(), values.size() * sizeof(T), cudaMemcpyDeviceToHost, nullptr);
    return values;
}

struct Case {
    int64_t rows, k, d_sae;
    int64_t hot; // this many latents fire on every row
    int filled;  // percent of the other values are positive
};

struct Batch {
    std::vector<int> indices;
    std::vector<float> values;
};

/* The k distinct latents of each row, the hot ones first. */
Batch batch_of(const Case &of, uint32_t seed) {
    reference::Random random(seed);
    Batch batch;
    for (int64_t row = 0; row < of.rows; row++) {
        std::vector<int> names;
        while (static_cast<int64_t>(names.size()) < of.k) {
            const auto next = static_cast<int64_t>(names.size());
            const int name = next < of.hot ? static_cast<int>(next)
                                           : random.integer(static_cast<int>(of.hot), static_cast<int>(of.d_sae) - 1);
            if (std::find(names.begin(), names.end(), name) == names.end()) {
                names.push_back(name);
            }
        }
        for (const int name : names) {
            batch.indices.push_back(name);
            batch.values.push_back(name < of.hot || random.integer(1, 100) <= of.filled ? 1.0f : 0.0f);
        }
    }
    return batch;
}

/* The same rows as ragged ones: their positive entries alone, of which none counts for its value. */
void check_ragged(const Case &of, const Batch &batch, const std::string &name) {
    std::vector<int> indices;
    std::vector<uint32_t> rows_of;
    for (size_t entry = 0; entry < batch.indices.size(); entry++) {
        if (batch.values[entry] > 0) {
            indices.push_back(batch.indices[entry]);
            rows_of.push_back(static_cast<uint32_t>(entry / static_cast<size_t>(of.k)));
        }
    }
    const auto entries = static_cast<int64_t>(indices.size());
    const int64_t counters = sae::cuda::csc_counters(of.d_sae);
    const DeviceMemory ranks(entries * 4 + 4), unordered(entries * 4 + 4), order(entries * 4 + 4);
    const DeviceMemory offsets((of.d_sae + 1) * 8), counts = sae::cuda::zeroed(counters * 4, nullptr);
    const DeviceMemory on_indices = on_device(indices), on_rows = on_device(rows_of);
    expect(sae::cuda::launch_ragged_csc(on_indices.as<int>(), on_rows.as<uint32_t>(), entries, of.rows, of.d_sae,
                                        {ranks.as<uint32_t>(), unordered.as<uint32_t>(), counts.as<uint32_t>()},
                                        order.as<uint32_t>(), offsets.as<int64_t>(), nullptr) == cudaSuccess,
           name + "launch");
    std::vector<uint32_t> wanted(indices.size());
    std::iota(wanted.begin(), wanted.end(), 0u);
    std::stable_sort(wanted.begin(), wanted.end(), [&](uint32_t a, uint32_t b) { return indices[a] < indices[b]; });
    std::vector<int64_t> starts(static_cast<size_t>(of.d_sae) + 1, 0);
    for (const int latent : indices) {
        starts[static_cast<size_t>(latent) + 1]++;
    }
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    expect(from_device<int64_t>(offsets, of.d_sae + 1) == starts, name + "ragged offsets");
    expect(from_device<uint32_t>(order, entries) == wanted, name + "ragged order");
    expect(from_device<uint32_t>(counts, counters) == std::vector<uint32_t>(static_cast<size_t>(counters), 0),
           name + "counters are left at 0");
}

void check(const Case &of) {
    const int64_t entries = of.rows * of.k;
    const std::string name =
        std::to_string(of.rows) + " rows, k " + std::to_string(of.k) + ", " + std::to_string(of.d_sae) + " latents: ";
    const int64_t counters = sae::cuda::csc_counters(of.d_sae);
    const DeviceMemory ranks(entries * 4), unordered(entries * 4), order(entries * 4), sorted(entries * 4);
    const DeviceMemory offsets((of.d_sae + 1) * 8);
    const DeviceMemory counts = sae::cuda::zeroed(counters * 4, nullptr);
    const sae::cuda::CscScratch scratch{ranks.as<uint32_t>(), unordered.as<uint32_t>(), counts.as<uint32_t>()};
    for (uint32_t seed = 1; seed <= 2; seed++) { // the second finds the counters as the first left them
        const Batch batch = batch_of(of, seed);
        check_ragged(of, batch, name);
        const DeviceMemory indices = on_device(batch.indices), values = on_device(batch.values);
        expect(sae::cuda::launch_csc(indices.as<int>(), values.as<float>(), of.rows, of.k, of.d_sae, scratch,
                                     order.as<uint32_t>(), sorted.as<uint32_t>(), offsets.as<int64_t>(),
                                     nullptr) == cudaSuccess,
               name + "launch");
        std::vector<uint32_t> wanted;
        for (uint32_t entry = 0; entry < batch.values.size(); entry++) {
            if (batch.values[entry] > 0) {
                wanted.push_back(entry);
            }
        }
        std::stable_sort(wanted.begin(), wanted.end(),
                         [&](uint32_t a, uint32_t b) { return batch.indices[a] < batch.indices[b]; });
        const auto active = static_cast<int64_t>(wanted.size());
        std::vector<uint32_t> latents;
        std::vector<int64_t> starts(static_cast<size_t>(of.d_sae) + 1, 0);
        for (const uint32_t entry : wanted) {
            latents.push_back(static_cast<uint32_t>(batch.indices[entry]));
            starts[static_cast<size_t>(batch.indices[entry]) + 1]++;
        }
        for (size_t latent = 0; latent + 1 < starts.size(); latent++) {
            starts[latent + 1] += starts[latent];
        }
        expect(from_device<int64_t>(offsets, of.d_sae + 1) == starts, name + "offsets");
        expect(from_device<uint32_t>(order, active) == wanted, name + "order");
        expect(from_device<uint32_t>(sorted, active) == latents, name + "latents by position");
        expect(from_device<uint32_t>(counts, counters) == std::vector<uint32_t>(static_cast<size_t>(counters), 0),
               name + "counters are left at 0");
    }
}

} // namespace

int main() {
    const Case cases[] = {{1, 1, 1, 0, 100},   {1, 1, 1, 0, 0},      {40, 4, 600, 0, 70},    {300, 5, 7, 0, 100},
                          {130, 3, 40, 2, 50}, {20000, 1, 3, 0, 90}, {8193, 3, 5000, 1, 99}, {16384, 2, 2, 2, 100},
                          {128, 2, 9, 1, 20},  {129, 2, 4097, 1, 1}, {97, 16, 12288, 3, 80}};
    for (const Case &of : cases) {
        check(of);
    }
    std::printf(failures == 0 ? "lists by latent: every case passed\n" : "lists by latent: %d checks failed\n",
                failures);
    return failures == 0 ? 0 : 1;
}
